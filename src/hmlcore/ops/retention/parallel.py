"""Retention over many tokens at once: all of them (parallel), or a chunk at a time (chunkwise)."""

import torch
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.ops.matrix_memory import each_sequence, join_chunks, split_chunks
from hmlcore.ops.precision import without_autocast
from hmlcore.ops.retention.naive import check_retention


def _powers(log_gamma: Tensor, exponents: Tensor) -> Tensor:
    """γ^n for exponents n ≥ 0: [H] and [...] to [H, ...]. (γ^−n overflows where γ^n is merely zero.)"""
    return torch.exp(log_gamma.view(-1, *[1] * exponents.ndim) * exponents)


def _decays(log_gamma: Tensor, length: int) -> Tensor:
    """D[h, t, s] = γ_h^(t−s) for s ≤ t, else 0."""
    t = torch.arange(length, device=log_gamma.device)
    return _powers(log_gamma, (t[:, None] - t).clamp(min=0)).tril()


@without_autocast
@each_sequence
def parallel_retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_gamma: Tensor,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """o = (QKᵀ ∘ D)V, D[t, s] = γ^(t−s): the parallel form, O(T²); arguments as ``naive_retention``."""
    state = check_retention(q, k, v, log_gamma, initial_state)
    length, out_dtype = k.shape[1], v.dtype
    q, k, v = (x.to(state.dtype).transpose(1, 2) for x in (q, k, v))
    log_gamma = log_gamma.to(state.dtype)
    o = (q @ k.mT * _decays(log_gamma, length)) @ v
    if initial_state is not None:
        passed = torch.arange(1, length + 1, device=k.device)
        o = o + _powers(log_gamma, passed)[..., None] * (q @ state)
    if not output_final_state:
        return o.transpose(1, 2).to(out_dtype), None
    ages = torch.arange(length - 1, -1, -1, device=k.device)
    written = (k * _powers(log_gamma, ages)[..., None]).mT @ v
    state = torch.exp(log_gamma * length)[:, None, None] * state + written
    return o.transpose(1, 2).to(out_dtype), state


@without_autocast
@each_sequence
def chunk_retention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_gamma: Tensor,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor | None]:
    """The parallel form inside chunks of C tokens, the recurrent form across them:

        o = (QKᵀ ∘ D)V + γ^(t+1) QS,   S ← γ^C S + Σ_s γ^(C−1−s) k_s v_sᵀ

    Arguments as ``naive_retention``. State and sums are fp32 (float64 for float64 values).
    """
    chunk_size = check_int("chunk_size", chunk_size)
    state = check_retention(q, k, v, log_gamma, initial_state)
    length, out_dtype = k.shape[1], v.dtype
    size = min(chunk_size, length)
    q, k, v = (split_chunks(x, size, state.dtype) for x in (q, k, v))
    log_gamma = log_gamma.to(state.dtype)

    # Every chunk holds C tokens but the last, whose padding must not age the state.
    held = torch.full((k.shape[2],), size, device=k.device)
    held[-1] = length - size * (len(held) - 1)
    step = torch.arange(size, device=k.device)
    ages = (held[:, None] - 1 - step).clamp(min=0)
    written = (k * _powers(log_gamma, ages)[..., None]).mT @ v  # [B, H, chunks, N, D]
    kept = _powers(log_gamma, held)[..., None, None]
    starts = []
    for w, g in zip(written.unbind(2), kept.unbind(1), strict=True):
        starts.append(state)
        state = g * state + w
    inside = (q @ k.mT * _decays(log_gamma, size)[:, None]) @ v
    o = inside + _powers(log_gamma, step + 1)[:, None, :, None] * (q @ torch.stack(starts, 2))
    return join_chunks(o, length).to(out_dtype), state if output_final_state else None
