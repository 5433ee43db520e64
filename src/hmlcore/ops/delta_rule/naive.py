"""The law: the gated delta rule one token at a time, as its paper writes it; correct in float64."""

import torch
from torch import Tensor

from hmlcore.ops.matrix_memory import check_memory, each_sequence, fade, over_time
from hmlcore.ops.precision import without_autocast


@without_autocast
def delta_rule_step(
    q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One token: forget, correct what the key recalls, read.

        S ← αS;   S ← S − β k(kᵀS − vᵀ);   o = Sᵀq          (diag(α)S, if α is a vector)

    Args: q, k [B, H, N]; v [B, H, D]; log_alpha [B, H] or [B, H, N]; beta [B, H]; state S [B, H, N, D].
    Returns: o [B, H, D] and the new state.
    """
    state = fade(log_alpha, state)
    z = torch.einsum("bhn,bhnd->bhd", k, state) - v
    state = state - torch.einsum("bh,bhn,bhd->bhnd", beta, k, z)
    return torch.einsum("bhn,bhnd->bhd", q, state), state


@without_autocast
@each_sequence
def naive_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    beta: Tensor,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """:func:`delta_rule_step` over a sequence.

    Args:
        q, k: [B, T, H, N];  v: [B, T, H, D];  log_alpha ≤ 0 and beta: [B, T, H].
            log_alpha may be [B, T, H, N], a decay for each channel of the key.
        initial_state: [B, H, N, D], zeros if None ([S, H, N, D] with `cu_seqlens`).
        output_final_state: also return the state after the last token.
        cu_seqlens: [S + 1] bounds of S sequences packed along T (then B = 1); none sees another.
    Returns: o [B, T, H, D] in the dtype of `v`, and the final state (fp32 at least) or None.
    Raises: HmlcoreError naming the argument whose shape or device does not fit.
    Source: Yang, Kautz and Hatamizadeh (arXiv 2412.06464), without its 1/√N on the query; decay by channel:
        Kimi Delta Attention (arXiv 2510.26692).
    """
    gates = {"log_alpha": log_alpha, "beta": beta}
    state = check_memory(q, k, v, gates, initial_state, channels=("log_alpha",))
    o, state = over_time(delta_rule_step, (q, k, v, log_alpha, beta), state)
    return o.to(v.dtype), state if output_final_state else None
