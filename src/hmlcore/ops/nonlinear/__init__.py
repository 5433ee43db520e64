"""Oscillators in a nonlinear potential, struck by keys: log cosh wells, or wells and a small network."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.nonlinear.naive import (
    Net,
    force,
    free_step,
    inverse_step,
    naive_nonlinear,
    net_force,
    nonlinear_step,
)
from hmlcore.ops.nonlinear.segments import segment_nonlinear
from hmlcore.ops.nonlinear.triton import obstacle, triton_nonlinear, unfit
from hmlcore.ops.self_check import form_error, seeded

__all__ = [
    "Net", "force", "free_step", "inverse_step", "naive_nonlinear", "net_force", "nonlinear",
    "nonlinear_step", "random_inputs", "segment_nonlinear", "triton_nonlinear",
]  # fmt: skip


def nonlinear(
    r: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, beta: Tensor, drift: Tensor, pull: Tensor,
    mu: Tensor, push: Tensor | None = None, net: Net | None = None, **options,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """The op through whichever form suits the tensors and their device; arguments as ``naive_nonlinear``."""
    tensors = (r, k, v, log_alpha, beta, drift, pull, mu, push)
    given = (r, k, v, net, *tensors[3:], options.get("initial_state"))
    form = backend.choose("nonlinear", k.device, given=given).form
    return form.function(*tensors, net, **options)


@seeded
def random_inputs(
    normal, batch: int, length: int, heads: int, n: int, d: int, hidden: int = 0
) -> dict[str, Tensor]:
    """Plausible tokens with stable steps, by name; a network of `hidden` units for the potential if any."""
    gate, keys = (batch, length, heads), (batch, length, heads, n)
    tensors = {
        "r": F.normalize(normal(*keys), dim=-1),
        "k": F.normalize(normal(*keys), dim=-1),
        "v": normal(*gate, d),
        "log_alpha": F.logsigmoid(normal(*gate) + 4),
        "beta": torch.sigmoid(normal(*gate) - 1),
        "drift": torch.sigmoid(normal(*keys)),
        "pull": 0.5 * torch.sigmoid(normal(*keys)),
        "mu": normal(heads, n),
    }
    if hidden:
        tensors |= {
            "push": 0.5 * torch.sigmoid(normal(*gate)),
            "weight": n**-0.5 * normal(heads, hidden, n),
            "bias": normal(heads, hidden),
            "out": hidden**-0.5 * normal(heads, hidden),
        }
    return tensors | {"initial_state": normal(batch, heads, 2, n, d)}


def call(form, x: dict[str, Tensor], **options) -> tuple[Tensor, Tensor | None]:
    """`form` on tensors by name, as ``random_inputs`` gives them."""
    x = dict(x)
    state = x.pop("initial_state", None)
    net = [Net(*(x.pop(name) for name in Net._fields))] if "push" in x else []
    return form(*x.values(), *net, initial_state=state, output_final_state=True, **options)


def _check(form, naive, device) -> float:
    """Outputs, final state and all gradients of `form` against `naive`, for both potentials."""
    worst = 0.0
    for hidden in (0, 6):
        x = random_inputs(2, 37, 2, 8, 8, hidden, device=device)

        def by_name(function, *tensors, names=tuple(x)):
            return call(function, dict(zip(names, tensors, strict=True)))

        worst = max(worst, form_error(form, naive, x.values(), by_name))
    return worst


backend.register(
    "nonlinear",
    [
        backend.Form(
            "triton",
            triton_nonlinear,
            obstacle,
            "Triton kernels, forward and backward",
            kernel=True,
            unfit=unfit,
        ),
        backend.Form("segments", segment_nonlinear, backend.anywhere, "token by token in torch, checkpoints"),
        backend.Form("naive", naive_nonlinear, backend.anywhere, "one token at a time, the law"),
    ],
    _check,
)
