"""The law: retention one token at a time; correct in float64."""

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.matrix_memory import check_memory, each_sequence, over_time
from hmlcore.ops.precision import without_autocast


def check_retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_gamma: Tensor,
    initial_state: Tensor | None,
    *,
    sequences: int | None = None,
) -> Tensor:
    """The refusals of every form; `sequences` and what is returned are ``check_memory``'s."""
    state = check_memory(q, k, v, {}, initial_state, sequences=sequences)
    heads = k.shape[2]
    require(
        tuple(log_gamma.shape) == (heads,), f"log_gamma must be [H] = {(heads,)}, got {tuple(log_gamma.shape)}"
    )
    require(log_gamma.device == k.device, f"log_gamma is on {log_gamma.device} but k is on {k.device}")
    return state


@without_autocast
def retention_step(q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One token: S ← γS + k vᵀ; o = Sᵀq.

    Args: q, k [B, H, N]; v [B, H, D]; log_gamma [H]; state S [B, H, N, D].
    Returns: o [B, H, D] and the new state.
    """
    state = log_gamma.exp()[:, None, None] * state + torch.einsum("bhn,bhd->bhnd", k, v)
    return torch.einsum("bhn,bhnd->bhd", q, state), state


@without_autocast
@each_sequence
def naive_retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_gamma: Tensor,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """:func:`retention_step` over a sequence: the recurrent form.

    Args:
        q, k: [B, T, H, N], already rotated and scaled;  v: [B, T, H, D].
        log_gamma: [H], one decay a head, the same for every token.
        initial_state: [B, H, N, D], zeros if None ([S, H, N, D] with `cu_seqlens`).
        output_final_state: also return the state after the last token.
        cu_seqlens: [S + 1] bounds of S sequences packed along T (then B = 1); none sees another.
    Returns: o [B, T, H, D] in the dtype of `v`, and the final state (fp32 at least) or None.
    Raises: HmlcoreError naming the argument whose shape or device does not fit.
    Source: Sun et al., Retentive Network (arXiv 2307.08621), recurrent representation.
    """
    state = check_retention(q, k, v, log_gamma, initial_state)
    log_gamma = log_gamma.to(state.dtype)
    o, state = over_time(lambda q, k, v, s: retention_step(q, k, v, log_gamma, s), (q, k, v), state)
    return o.to(v.dtype), state if output_final_state else None
