"""The gated recurrent unit: the classical recurrent reference, with cuDNN's conventions."""

import torch
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.recurrent import check_unit, one_node, register_unit


def naive_gru(x: Tensor, weights: tuple[Tensor, ...], state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """One token at a time:

        ρ = σ(W_ρx + U_ρs), ζ = σ(W_ζx + U_ζs), n = tanh(W_nx + b_n + ρ ∘ (U_ns + c_n)), s ← (1 − ζ)n + ζs

    (biases of ρ and ζ left out for brevity).

    Args:
        x: [B, T, E];  weights: W [3M, E], U [3M, M], b [3M], c [3M] in the order ρ, ζ, n.
        state: s [B, M], zeros if None.
    Returns: the states [B, T, M] and the last one [B, M]. Source: Cho et al. (arXiv 1406.1078).
    """
    (state,) = check_unit(x, weights, state=state)
    w_ih, w_hh, b_ih, b_hh = weights
    outputs = []
    for t in range(x.shape[1]):
        i_r, i_z, i_n = (x[:, t] @ w_ih.T + b_ih).chunk(3, -1)
        h_r, h_z, h_n = (state @ w_hh.T + b_hh).chunk(3, -1)
        r, z = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
        n = torch.tanh(i_n + r * h_n)
        state = (1 - z) * n + z * state
        outputs.append(state)
    return torch.stack(outputs, 1), state


def _unit(x: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor]:
    *weights, state = tensors
    y, last = torch.gru(x, state[None].contiguous(), weights, True, 1, 0.0, True, False, True)
    return y, last[0]


_fused = one_node("gru", _unit)


def torch_gru(x: Tensor, weights: tuple[Tensor, ...], state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The same through ``torch.gru`` (cuDNN on a GPU); arguments as :func:`naive_gru`."""
    y, last = _fused(x, *weights, *check_unit(x, weights, state=state))
    return y, last


def gru(x: Tensor, weights: tuple[Tensor, ...], state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The op through whichever form suits the device; arguments as :func:`naive_gru`."""
    return backend.choose("gru", x.device).form.function(x, weights, state)


register_unit("gru", torch_gru, naive_gru, maps=3, states=1)
