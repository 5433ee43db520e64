"""The law: the momentum delta rule one token at a time; correct in float64."""

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.matrix_memory import check_memory, each_sequence, over_time
from hmlcore.ops.precision import without_autocast


def check_momentum_delta(q, k, v, log_alpha, log_mu, beta, eta, p, initial_state) -> Tensor:
    """The refusals of every form; returns the state to start from, [B, H, 2, N, D]."""
    gates = {"log_alpha": log_alpha, "log_mu": log_mu, "beta": beta, "eta": eta}
    state = check_memory(q, k, v, gates, initial_state, rows=(2,))
    require(
        p is None or p.shape == k.shape,
        f"p must have k's shape {tuple(k.shape)}, got {None if p is None else tuple(p.shape)}",
    )
    return state


@without_autocast
def momentum_delta_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    log_mu: Tensor,
    beta: Tensor,
    eta: Tensor,
    p: Tensor | None,
    state: Tensor,
) -> tuple[Tensor, Tensor]:
    """One token: the momentum M gathers the gradient of ½‖pᵀS − v‖², the memory S descends along it.

        M ← μM − η k(vᵀ − pᵀS);   S ← αS − βM;   o = Sᵀq          (p = αk if None)

    Args:
        q, k, p: [B, H, N];  v: [B, H, D];  log_alpha, log_mu, beta, eta: [B, H].
        state: (S, M) stacked, [B, H, 2, N, D].
    Returns: o [B, H, D] and the new state.
    """
    s, m = state.unbind(2)
    alpha = log_alpha.exp()
    p = alpha[..., None] * k if p is None else p
    error = v - torch.einsum("bhn,bhnd->bhd", p, s)
    m = log_mu.exp()[..., None, None] * m - torch.einsum("bh,bhn,bhd->bhnd", eta, k, error)
    s = alpha[..., None, None] * s - beta[..., None, None] * m
    return torch.einsum("bhn,bhnd->bhd", q, s), torch.stack((s, m), 2)


@without_autocast
@each_sequence
def naive_momentum_delta(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    log_mu: Tensor,
    beta: Tensor,
    eta: Tensor,
    p: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """:func:`momentum_delta_step` over a sequence.

    Args:
        q, k: [B, T, H, N];  v: [B, T, H, D].
        log_alpha, log_mu ≤ 0, beta, eta: [B, T, H]: forgetting, momentum, step and learning rate.
        p: [B, T, H, N], the key that predicts; αk if None.
        initial_state: (S, M), [B, H, 2, N, D], zeros if None ([S, H, 2, N, D] with `cu_seqlens`).
        output_final_state: also return the state after the last token.
        cu_seqlens: [S + 1] bounds of S sequences packed along T (then B = 1); none sees another.
    Returns: o [B, T, H, D] in the dtype of `v`, and the final state (fp32 at least) or None.
    Raises: HmlcoreError naming the argument whose shape or device does not fit.
    Source: MDN (arXiv 2605.05838), without its 1/√N on the query.
    """
    state = check_momentum_delta(q, k, v, log_alpha, log_mu, beta, eta, p, initial_state)
    o, state = over_time(momentum_delta_step, (q, k, v, log_alpha, log_mu, beta, eta, p), state)
    return o.to(v.dtype), state if output_final_state else None
