"""Linear recurrences h ← Mh + b over small square blocks, single numbers (diagonal ones) among them."""

from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.diagonal_scan.naive import naive_block_scan
from hmlcore.ops.diagonal_scan.scan import scan_block_scan
from hmlcore.ops.self_check import form_error, normals

__all__ = ["block_scan", "naive_block_scan", "scan_block_scan"]


def block_scan(m: Tensor, b: Tensor, initial_state: Tensor | None = None) -> Tensor:
    """The op through whichever form suits the device; arguments as :func:`naive_block_scan`."""
    return backend.choose("block_scan", b.device).form.function(m, b, initial_state)


def _self_check(form, naive, device) -> float:
    return form_error(
        form, naive, [x / 2 for x in normals(device, (2, 37, 5, 2, 2), (2, 37, 5, 2), (2, 5, 2))]
    )  # fmt: skip


backend.register(
    "block_scan",
    [
        backend.Form("scan", scan_block_scan, backend.anywhere, "two-level scan in torch, any device"),
        backend.Form("naive", naive_block_scan, backend.anywhere, "one token at a time, the law"),
    ],
    _self_check,
)
