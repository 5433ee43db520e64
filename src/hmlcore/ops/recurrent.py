"""What the classical recurrent units share as ops: refusals, their forms and the check of them."""

from collections.abc import Callable

from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import backend
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
