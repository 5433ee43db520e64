"""Linear recurrences h ← Mh + b whose blocks are single numbers (diagonal) or small matrices (block)."""

from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.diagonal_scan.naive import naive_block_scan, naive_diagonal_scan
from hmlcore.ops.diagonal_scan.scan import scan_block_scan, scan_diagonal_scan
from hmlcore.ops.self_check import form_error, normals

__all__ = [
    "block_scan", "diagonal_scan", "naive_block_scan", "naive_diagonal_scan", "scan_block_scan",
    "scan_diagonal_scan",
]  # fmt: skip


def diagonal_scan(a: Tensor, b: Tensor, initial_state: Tensor | None = None) -> Tensor:
    """The op through whichever form suits the device; arguments as :func:`naive_diagonal_scan`."""
    return backend.choose("diagonal_scan", b.device).form.function(a, b, initial_state)


def block_scan(m: Tensor, b: Tensor, initial_state: Tensor | None = None) -> Tensor:
    """The op through whichever form suits the device; arguments as :func:`naive_block_scan`."""
    return backend.choose("block_scan", b.device).form.function(m, b, initial_state)


def _self_check(*shapes: tuple[int, ...]):
    return lambda form, naive, device: form_error(form, naive, [x / 2 for x in normals(device, *shapes)])


for _op, _form, _naive, _shapes in (
    ("diagonal_scan", scan_diagonal_scan, naive_diagonal_scan, ((2, 37, 5), (2, 37, 5), (2, 5))),
    ("block_scan", scan_block_scan, naive_block_scan, ((2, 37, 5, 2, 2), (2, 37, 5, 2), (2, 5, 2))),
):
    backend.register(
        _op,
        [
            backend.Form("scan", _form, backend.anywhere, "two-level scan in torch, any device"),
            backend.Form("naive", _naive, backend.anywhere, "one token at a time, the law"),
        ],
        _self_check(*_shapes),
    )
