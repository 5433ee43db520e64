r"""Superposed bindings over many tokens at once, exactly: the slots are a linear memory of what is bound.

Binding happens before anything is summed and unbinding after, so with x_t = bind(k_t, v_t)

    M_t = diag(α_t) M_{t−1} + w_t x_tᵀ,        o_t = unbind(q_t, M_tᵀ ω_t),

which is gated linear attention with keys w, queries ω and values x, S rows where a matrix memory has N: inside
a chunk of C tokens one product of C × C numbers with C × D, the same C × C for every channel.

    o = unbind(q, P x + (A(t, 0) ∘ ω) M_0),        P_ts = Σ_n ω_{tn} A_n(t, s) w_{sn}     (`ops/faded.py`)

Products of matrices, so a kernel of its own would save the binding's round trip through memory and no more.
"""

import torch
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.ops.faded import by_channel
from hmlcore.ops.holographic.binding import bind, unbind
from hmlcore.ops.holographic.naive import check_holographic
from hmlcore.ops.matrix_memory import each_sequence, join_chunks, split_chunks
from hmlcore.ops.precision import without_autocast


@without_autocast
@each_sequence
def chunk_holographic(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    write: Tensor,
    read: Tensor,
    log_alpha: Tensor | None = None,
    *,
    binding: str,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    chunk_size: int = 64,
) -> tuple[Tensor, Tensor | None]:
    """`chunk_size` tokens at a time, rounded up to a power of two; the other arguments as
    ``naive_holographic``. State and sums are fp32 (float64 for float64 values)."""
    chunk_size = check_int("chunk_size", chunk_size)
    state = check_holographic(q, k, v, write, read, log_alpha, binding, initial_state)
    dtype, length = state.dtype, v.shape[1]
    size = 1 << (min(chunk_size, length) - 1).bit_length()
    q, x = q.to(dtype), bind(binding, k.to(dtype), v.to(dtype))
    x, write, read = (split_chunks(y, size, dtype) for y in (x, write, read))
    if log_alpha is None:
        pairs, first, last, keep = (read @ write.mT).tril(), read, write.mT, None
    else:
        faded = by_channel(read, write, split_chunks(log_alpha, size, dtype))
        pairs, first, last, keep = faded.qk, faded.first_q, faded.last_k, faded.keep
    starts = []
    for n, written in enumerate((last @ x).unbind(2)):
        starts.append(state)
        state = written + (state if keep is None else keep[:, :, n] * state)
    o = join_chunks(pairs @ x + first @ torch.stack(starts, 2), length)
    return unbind(binding, q, o).to(v.dtype), state if output_final_state else None
