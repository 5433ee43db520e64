"""What the classical recurrent units share as ops: refusals, their forms and the check of them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import backend
from hmlcore.ops.packing import own
from hmlcore.ops.precision import without_autocast
from hmlcore.ops.self_check import form_error, normals


def check_unit(x: Tensor, weights: tuple[Tensor, ...], **state: Tensor | None) -> list[Tensor]:
    """Refuse shapes that do not fit; return the parts of the state to start from, zeros for None, in x's dtype.

    Args: x [B, T, E];  weights: those of x [·, E], of the state [·, M], and biases;  state: name → [B, M].
    """
    w_ih, w_hh = weights[:2]
    require(
        x.ndim == 3 and x.shape[1] > 0 and x.shape[2] == w_ih.shape[1],
        f"x must be [B, T, {w_ih.shape[1]}] with T > 0, got {tuple(x.shape)}",
    )
    wanted = (x.shape[0], w_hh.shape[1])
    for name, s in state.items():
        if s is not None:
            require(tuple(s.shape) == wanted, f"{name} must have shape {wanted}, got {tuple(s.shape)}")
    return [x.new_zeros(wanted) if s is None else s.to(x.dtype) for s in state.values()]


def _without_mkldnn():
    """On a CPU torch.func cannot wrap the scratch space of its LSTM."""
    kept: Any = {"deterministic": None, "allow_tf32": None, "fp32_precision": None}  # as they are
    return torch.backends.mkldnn.flags(enabled=False, **kept)


def one_node(name: str, unit: Callable) -> Callable:
    """`unit` (x, *weights, *states) → y, *states, which torch.compile takes as one node `hmlcore::name`.

    Traced through, a unit becomes nodes for every token: minutes of compilation, and no fused kernel is left.
    The gradient of the node runs the unit again.
    """
    exact = without_autocast(unit)

    @torch.library.custom_op(f"hmlcore::{name}", mutates_args=())
    def run(x: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [y.contiguous() for y in exact(x, *tensors)]

    @run.register_fake
    def _(x, tensors):
        states = tensors[4:]
        return [x.new_empty(*x.shape[:2], states[0].shape[1]), *(s.new_empty(s.shape) for s in states)]

    @torch.library.custom_op(f"hmlcore::{name}_backward", mutates_args=())
    def run_back(x: Tensor, tensors: Sequence[Tensor], grads: Sequence[Tensor]) -> list[Tensor]:
        with _without_mkldnn():
            pull = torch.func.vjp(exact, x, *tensors)[1]
            return [own(g) for g in pull(tuple(grads))]  # apart, where biases share one

    @run_back.register_fake
    def _(x, tensors, grads):
        return [y.new_empty(y.shape) for y in (x, *tensors)]

    def hold(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], *inputs[1])

    def differentiate(ctx, grads):
        x, *tensors = ctx.saved_tensors
        of_x, *others = run_back(x, tensors, grads)
        return of_x, others

    run.register_autograd(differentiate, setup_context=hold)

    def op(x: Tensor, *tensors: Tensor) -> Sequence[Tensor]:
        if not torch.compiler.is_compiling():
            return unit(x, *tensors)
        return run(x, [y.to(x.dtype) for y in tensors])  # as autocast would

    return op


def register_unit(name: str, fused: Callable, naive: Callable, maps: int, states: int) -> None:
    """Register the op `name` of a unit with so many affine maps and so many parts of its state."""
    outer = 8 * maps
    shapes = ((2, 11, 6), (outer, 6), (outer, 8), (outer,), (outer,), *[(2, 8)] * states)

    def call(function, x, *tensors):
        weights, state = tensors[:4], tensors[4:]
        y, last = function(x, weights, state if states > 1 else state[0])
        return (y, *last) if states > 1 else (y, last)

    backend.register(
        name,
        [
            backend.Form("torch", fused, backend.anywhere, f"torch's fused {name.upper()} (cuDNN on a GPU)"),
            backend.Form("naive", naive, backend.anywhere, "one token at a time, the law"),
        ],
        lambda form, naive, device: form_error(form, naive, normals(device, *shapes), call),
    )
