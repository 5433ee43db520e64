"""The law: oscillators in a nonlinear potential, one token at a time; correct in float64."""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.errors import HmlcoreError, require
from hmlcore.ops.finite import check_finite, visible
from hmlcore.ops.hamiltonian.check import check_log_gates, outside
from hmlcore.ops.matrix_memory import check_memory, each_sequence
from hmlcore.ops.precision import without_autocast

STABLE = 2 * (1 + 1e-5)  # of drift · pull; what is softened to just below 2 may be rounded to it


class Net(NamedTuple):
    """The potential outᵀtanh(Wq + b) of a column q [N], for each head: one hidden layer of width M."""

    weight: Tensor  # W [H, M, N]
    bias: Tensor  # b [H, M]
    out: Tensor  # [H, M]


def net_force(q: Tensor, net: Net) -> Tensor:
    """∇ outᵀtanh(Wq + b) = Wᵀ(out ∘ sech²(Wq + b)) for the columns of q [..., H, N, D]."""
    hidden = (net.weight @ q + net.bias[..., None]).tanh()
    return net.weight.mT @ (net.out[..., None] * (1 - hidden * hidden))


def force(q: Tensor, pull: Tensor, push: Tensor | None = None, net: Net | None = None) -> Tensor:
    """What one kick takes from P: pull ∘ tanh q, or pull ∘ q + push·∇ outᵀtanh(Wq + b) with a network.

    Args: q [B, H, N, D];  pull [B, H, N];  push [B, H].
    """
    if net is None:
        return pull[..., None] * q.tanh()
    assert push is not None  # it comes with a network
    return pull[..., None] * q + push[..., None, None] * net_force(q, net)


def free_step(q, p, drift, pull, push=None, net=None) -> tuple[Tensor, Tensor]:
    """Kick, drift, kick: symplectic, since each of the three is."""
    p = p - force(q, pull, push, net)
    q = q + drift[..., None] * p
    return q, p - force(q, pull, push, net)


@without_autocast
def nonlinear_step(
    r: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, beta: Tensor, drift: Tensor, pull: Tensor,
    mu: Tensor, push: Tensor | None, net: Net | None, state: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One token: move, forget, write, read.

        P ← P − F(Q);  Q ← Q + drift ∘ P;  P ← P − F(Q);   Q, P ← αQ, αP;   P ← P + β k vᵀ
        o = rᵀ(Q + μ ∘ P)

    Args:
        r, k, drift, pull: [B, H, N];  v: [B, H, D];  log_alpha, beta, push: [B, H];  mu: [H, N].
        state: (Q, P) stacked, [B, H, 2, N, D].
    Returns: o [B, H, D] and the new state.
    """
    q, p = state.unbind(2)
    q, p = free_step(q, p, drift, pull, push, net)
    state = log_alpha.exp()[..., None, None, None] * torch.stack((q, p), 2)
    q, p = state.unbind(2)
    p = p + torch.einsum("bh,bhn,bhd->bhnd", beta, k, v)
    o = torch.einsum("bhn,bhnd->bhd", r, q) + torch.einsum("bhn,bhnd->bhd", r * mu, p)
    return o, torch.stack((q, p), 2)


@without_autocast
def inverse_step(
    k: Tensor, v: Tensor, log_alpha: Tensor, beta: Tensor, drift: Tensor, pull: Tensor,
    push: Tensor | None, net: Net | None, state: Tensor,
) -> Tensor:  # fmt: skip
    """The state before a token from the state after it, for α > 0: the same five moves backwards."""
    q, p = state.unbind(2)
    alpha = log_alpha.exp()[..., None, None]
    p = (p - torch.einsum("bh,bhn,bhd->bhnd", beta, k, v)) / alpha
    q = q / alpha
    p = p + force(q, pull, push, net)
    q = q - drift[..., None] * p
    return torch.stack((q, p + force(q, pull, push, net)), 2)


def check_nonlinear(
    r, k, v, log_alpha, beta, drift, pull, mu, push=None, net=None, initial_state=None
) -> Tensor:
    """The refusals of every form; returns the state to start from, [B, H, 2, N, D]."""
    require((push is None) == (net is None), "push and net go together: give both or neither")
    gates = {"log_alpha": log_alpha, "beta": beta} | ({} if push is None else {"push": push})
    state = check_memory(r, k, v, gates, initial_state, rows=(2,))
    heads, n = k.shape[2:]
    wanted = {"drift": (drift, k.shape), "pull": (pull, k.shape), "mu": (mu, (heads, n))}
    if net is not None:
        m = net.weight.shape[1] if net.weight.ndim == 3 else 0
        require(m > 0, f"net.weight must be [H, M, N] with M > 0, got {tuple(net.weight.shape)}")
        shapes = ((heads, m, n), (heads, m), (heads, m))
        wanted |= {f"net.{name}": (x, shape) for name, x, shape in zip(Net._fields, net, shapes, strict=True)}
    for name, (x, shape) in wanted.items():
        require(x.shape == shape, f"{name} must have shape {tuple(shape)}, got {tuple(x.shape)}")
        require(x.device == k.device, f"{name} is on {x.device} but k is on {k.device}")
    check_log_gates(log_alpha=log_alpha)
    check_finite(beta=beta, push=push, **{name: x for name, (x, _) in wanted.items()})
    if visible(drift):
        turn = (drift * pull).detach()
        if outside((turn < 0) | (turn > STABLE), turn).any():
            worst = turn.flatten()[(turn - 1).abs().argmax()]
            raise HmlcoreError(f"drift times pull must be between 0 and 2 (a stable step), got {worst:g}")
    return state


@without_autocast
@each_sequence
def naive_nonlinear(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    beta: Tensor,
    drift: Tensor,
    pull: Tensor,
    mu: Tensor,
    push: Tensor | None = None,
    net: Net | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """:func:`nonlinear_step` over a sequence.

    Args:
        r, k: [B, T, H, N];  v: [B, T, H, D].
        log_alpha ≤ 0 (−inf: everything is forgotten) and beta: [B, T, H].
        drift, pull: [B, T, H, N]. For H = ½Σω p² + V and a step Δ they are Δω and Δ/2 times the slope
            of ∇V; for a quadratic V a step is stable while 0 ≤ drift·pull < 2, and refused beyond.
        mu: [H, N].
        push: [B, T, H] and net: with both, the potential is quadratic plus the network; with neither it
            is the separable log cosh.
        initial_state: [B, H, 2, N, D], zeros if None ([S, H, 2, N, D] with `cu_seqlens`).
        output_final_state: also return the state after the last token.
        cu_seqlens: [S + 1] bounds of S sequences packed along T (then B = 1); none sees another.
    Returns: o [B, T, H, D] in the dtype of `v`, and the final state (fp32 at least) or None.
    Raises: HmlcoreError naming the argument whose shape, device or value does not fit.
    """
    state = check_nonlinear(r, k, v, log_alpha, beta, drift, pull, mu, push, net, initial_state)
    tokens = [None if x is None else x.to(state.dtype) for x in (r, k, v, log_alpha, beta, drift, pull, push)]
    mu, net = mu.to(state.dtype), None if net is None else Net(*(x.to(state.dtype) for x in net))
    outputs = []
    for t in range(k.shape[1]):
        *now, push_t = (None if x is None else x[:, t] for x in tokens)
        o, state = nonlinear_step(*now, mu, push_t, net, state)
        outputs.append(o)
    return torch.stack(outputs, 1).to(v.dtype), state if output_final_state else None
