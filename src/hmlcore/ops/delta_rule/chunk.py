"""The chunkwise-parallel gated delta rule: the one-row case of the Hamiltonian memory.

With G = c = α, e = β and f = 1 the Hamiltonian memory reads

    z = α kᵀS − vᵀ,   S ← αS − β k z,   o = Sᵀq,

the gated delta rule term by term, and its chunkwise form is then the WY form of
Yang et al. (arXiv 2406.06484) with the gate of arXiv 2412.06464. A decay for each channel of the key is no
such case, since G ⊗ I treats channels alike: it has a form of its own, of products that fade by channel
(`ops/faded.py`), and its gradient is recorded.
"""

import torch
from torch import Tensor

from hmlcore.checks import check_int, check_optional
from hmlcore.ops.extras import power_of_two
from hmlcore.ops.faded import Faded, by_channel
from hmlcore.ops.hamiltonian import chunk_hamiltonian, default_chunk_size, delta
from hmlcore.ops.hamiltonian.check import check_log_gates
from hmlcore.ops.matrix_memory import check_memory, each_sequence, join_chunks, split_chunks
from hmlcore.ops.packing import check_cu_seqlens
from hmlcore.ops.precision import without_autocast


def chunk_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    beta: Tensor,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    cu_seqlens: Tensor | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The gated delta rule `chunk_size` tokens at a time; the other arguments as ``naive_delta_rule``.

    With a decay for each channel, `chunk_size` is rounded up to a power of two.
    """
    if log_alpha.ndim == 4:
        return _chunk_by_channel(
            q, k, v, log_alpha, beta, initial_state=initial_state, output_final_state=output_final_state,
            cu_seqlens=cu_seqlens, chunk_size=chunk_size,
        )  # fmt: skip
    sequences = None if cu_seqlens is None else len(check_cu_seqlens(cu_seqlens, *k.shape[:2])) - 1
    gates = {"log_alpha": log_alpha, "beta": beta}
    state = check_memory(q, k, v, gates, initial_state, sequences=sequences, channels=("log_alpha",))
    o, state = chunk_hamiltonian(
        q, k, v, delta(log_alpha.to(state.dtype), beta.to(state.dtype)),
        initial_state=state[:, :, None], output_final_state=True, cu_seqlens=cu_seqlens, chunk_size=chunk_size,
    )  # fmt: skip
    return o, state.squeeze(2) if output_final_state else None


@without_autocast
@each_sequence
def _chunk_by_channel(
    q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, beta: Tensor, *,
    initial_state: Tensor | None, output_final_state: bool, chunk_size: int | None,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Z = (I + tril(KK diag β, −1))⁻¹ (K̂ S₀ − V),  o = Q̂ S₀ − QK diag β Z,  S_C = A(C, 0)S₀ − K̃ᵀ diag β Z,

    with products of keys and queries that fade by channel, KK, QK, K̂, Q̂ and K̃ of :class:`Faded` in order.
    """
    chunk_size = check_optional("chunk_size", chunk_size, check_int)
    gates = {"log_alpha": log_alpha, "beta": beta}
    state = check_memory(q, k, v, gates, initial_state, channels=("log_alpha",))
    check_log_gates(log_alpha=log_alpha)
    length, out_dtype = k.shape[1], v.dtype
    size = power_of_two(min(chunk_size or default_chunk_size(k.shape[-1]), length))
    # Zeros after the last token are inert: α = 1 keeps the state, β = 0 writes nothing.
    q, k, v, log_alpha, beta = (split_chunks(x, size, state.dtype) for x in (q, k, v, log_alpha, beta))
    x: Faded = by_channel(q, k, log_alpha)
    beta = beta[..., None]
    right = torch.cat((x.first_k, v), -1)
    solved = beta * torch.linalg.solve_triangular(x.kk * beta.mT, right, upper=False, unitriangular=True)
    solved_k, solved_v = solved.split((k.shape[-1], v.shape[-1]), -1)
    starts, written = [], []
    parts = (y.unbind(2) for y in (solved_k, solved_v, x.last_k, x.keep))
    for u, tv, last_k, keep in zip(*parts, strict=True):
        starts.append(state)
        written.append(u @ state - tv)
        state = keep * state - last_k @ written[-1]
    read = x.first_q @ torch.stack(starts, 2) - x.qk @ torch.stack(written, 2)
    return join_chunks(read, length).to(out_dtype), state if output_final_state else None
