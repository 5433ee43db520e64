"""Long short-term memory: the classical recurrent reference, with cuDNN's conventions."""

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import backend

State = tuple[Tensor, Tensor]


def _check(x: Tensor, weights: tuple[Tensor, ...], state: State | None) -> State:
    w_ih, w_hh = weights[:2]
    hidden = w_hh.shape[1]
    require(
        x.ndim == 3 and x.shape[1] > 0 and x.shape[2] == w_ih.shape[1],
        f"x must be [B, T, {w_ih.shape[1]}] with T > 0, got {tuple(x.shape)}",
    )
    wanted = (x.shape[0], hidden)
    if state is None:
        return x.new_zeros(wanted), x.new_zeros(wanted)
    for name, s in zip(("state", "cell"), state, strict=True):
        require(tuple(s.shape) == wanted, f"{name} must have shape {wanted}, got {tuple(s.shape)}")
    return state[0].to(x.dtype), state[1].to(x.dtype)


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


def torch_lstm(x: Tensor, weights: tuple[Tensor, ...], state: State | None = None) -> tuple[Tensor, State]:
    """The same through ``torch.lstm`` (cuDNN on a GPU); arguments as :func:`naive_lstm`."""
    start = [s[None].contiguous() for s in _check(x, weights, state)]
    y, hidden, cell = torch.lstm(x, start, list(weights), True, 1, 0.0, True, False, True)
    return y, (hidden[0], cell[0])


def lstm(x: Tensor, weights: tuple[Tensor, ...], state: State | None = None) -> tuple[Tensor, State]:
    """The op through whichever form suits the device; arguments as :func:`naive_lstm`."""
    return backend.choose("lstm", x.device).form.function(x, weights, state)


def _self_check(form, naive, device) -> float:
    results = []
    for function in (form, naive):
        g = torch.Generator().manual_seed(0)
        shapes = ((2, 11, 6), (32, 6), (32, 8), (32,), (32,), (2, 8), (2, 8))
        tensors = [torch.randn(s, generator=g).to(device).requires_grad_() for s in shapes]
        x, *weights, hidden, cell = tensors
        y, last = function(x, tuple(weights), (hidden, cell))
        loss = y.sin().sum() + sum(s.sin().sum() for s in last)
        results.append((y, *last, *torch.autograd.grad(loss, tensors)))
    return max(backend.relative_error(a, b) for a, b in zip(*results, strict=True))


backend.register(
    "lstm",
    [
        backend.Form("torch", torch_lstm, backend.anywhere, "torch's fused LSTM (cuDNN on a GPU)"),
        backend.Form("naive", naive_lstm, backend.anywhere, "one token at a time, the law"),
    ],
    _self_check,
)
