"""Selective state spaces: S6 (Mamba), a decay for every entry, and SSD (Mamba-2), a decay for every head."""

import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.finite import confined
from hmlcore.ops.selective_scan.chunk import chunk_selective_scan, chunk_ssd
from hmlcore.ops.selective_scan.fla import FLA, fla_ssd
from hmlcore.ops.selective_scan.naive import naive_selective_scan, naive_ssd, selective_scan_step, ssd_step
from hmlcore.ops.self_check import form_error, normals

__all__ = [
    "chunk_selective_scan", "chunk_ssd", "fla_ssd", "naive_selective_scan", "naive_ssd", "selective_scan",
    "selective_scan_step", "ssd", "ssd_step",
]  # fmt: skip


def selective_scan(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, initial_state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The op through whichever form suits the device; arguments as :func:`naive_selective_scan`."""
    return backend.choose("selective_scan", x.device).form.function(x, dt, a, b, c, initial_state)


def ssd(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, initial_state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The op through whichever form suits the device; arguments as :func:`naive_ssd`."""
    arguments = (x, dt, a, b, c, initial_state)
    form = backend.choose("ssd", x.device, given=arguments).form
    tokens = {"x": x, "dt": dt, "b": b}
    return confined(lambda given: form.function(**given, a=a, c=c, initial_state=initial_state), c, tokens)


def _self_check(x, dt, a, b, state):
    """A check at these shapes; c has b's."""

    def check(form, naive, device) -> float:
        tensors = normals(device, x, dt, a, b, b, state)
        tensors[1], tensors[2] = F.softplus(tensors[1] - 2), -tensors[2].exp()
        return form_error(form, naive, tensors)

    return check


for _op, _kernels, _form, _naive, _shapes in (
    (
        "selective_scan", [], chunk_selective_scan, naive_selective_scan,
        ((2, 37, 6), (2, 37, 6), (6, 4), (2, 37, 4), (2, 6, 4)),
    ),
    ("ssd", [FLA], chunk_ssd, naive_ssd, ((2, 67, 3, 6), (2, 67, 3), (3,), (2, 67, 4), (2, 3, 6, 4))),
):  # fmt: skip
    backend.register(
        _op,
        [
            *_kernels,
            backend.Form("chunk", _form, backend.anywhere, "chunk by chunk in torch, any device"),
            backend.Form("naive", _naive, backend.anywhere, "one token at a time, the law"),
        ],
        _self_check(*_shapes),
    )
