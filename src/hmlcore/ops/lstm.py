"""Long short-term memory: the classical recurrent reference, with cuDNN's conventions."""

import torch
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.recurrent import check_unit, one_node, register_unit

State = tuple[Tensor, Tensor]


def _check(x: Tensor, weights: tuple[Tensor, ...], state: State | None) -> list[Tensor]:
    hidden, cell = (None, None) if state is None else state
    return check_unit(x, weights, state=hidden, cell=cell)


def naive_lstm(x: Tensor, weights: tuple[Tensor, ...], state: State | None = None) -> tuple[Tensor, State]:
    """One token at a time, with ι, φ, ω = σ(Wx + b + Us + c) and g = tanh(W_gx + b_g + U_gs + c_g):

        m ← φ ∘ m + ι ∘ g,   s ← ω ∘ tanh(m)

    Args:
        x: [B, T, E];  weights: W [4M, E], U [4M, M], b [4M], c [4M] in the order ι, φ, g, ω.
        state: (s, m), each [B, M], zeros if None.
    Returns: the states s [B, T, M], and the last (s, m).
    Source: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).
    """
    hidden, cell = _check(x, weights, state)
    w_ih, w_hh, b_ih, b_hh = weights
    outputs = []
    for x_t in x.unbind(1):
        i, f, g, o = (x_t @ w_ih.T + b_ih + hidden @ w_hh.T + b_hh).chunk(4, -1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(cell)
        outputs.append(hidden)
    return torch.stack(outputs, 1), (hidden, cell)


def _unit(x: Tensor, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weights, start = tensors[:4], [s[None].contiguous() for s in tensors[4:]]
    y, hidden, cell = torch.lstm(x, start, weights, True, 1, 0.0, True, False, True)
    return y, hidden[0], cell[0]


_fused = one_node("lstm", _unit)


def torch_lstm(x: Tensor, weights: tuple[Tensor, ...], state: State | None = None) -> tuple[Tensor, State]:
    """The same through ``torch.lstm`` (cuDNN on a GPU); arguments as :func:`naive_lstm`."""
    y, hidden, cell = _fused(x, *weights, *_check(x, weights, state))
    return y, (hidden, cell)


def lstm(x: Tensor, weights: tuple[Tensor, ...], state: State | None = None) -> tuple[Tensor, State]:
    """The op through whichever form suits the device; arguments as :func:`naive_lstm`."""
    return backend.choose("lstm", x.device).form.function(x, weights, state)


register_unit("lstm", torch_lstm, naive_lstm, maps=4, states=2)
