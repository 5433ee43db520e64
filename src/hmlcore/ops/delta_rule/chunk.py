"""The chunkwise-parallel gated delta rule: the one-row case of the Hamiltonian memory.

With G = c = α, e = β and f = 1 the Hamiltonian memory reads

    z = α kᵀS − vᵀ,   S ← αS − β k z,   o = Sᵀq,

the gated delta rule term by term, and its chunkwise form is then the WY form of
Yang et al. (arXiv 2406.06484) with the gate of arXiv 2412.06464.
"""

from torch import Tensor

from hmlcore.ops.hamiltonian import chunk_hamiltonian, delta
from hmlcore.ops.matrix_memory import check_memory
from hmlcore.ops.packing import check_cu_seqlens


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
    """The gated delta rule `chunk_size` tokens at a time; the other arguments as ``naive_delta_rule``."""
    sequences = None if cu_seqlens is None else len(check_cu_seqlens(cu_seqlens, *k.shape[:2])) - 1
    gates = {"log_alpha": log_alpha, "beta": beta}
    state = check_memory(q, k, v, gates, initial_state, sequences=sequences)
    o, state = chunk_hamiltonian(
        q, k, v, delta(log_alpha.to(state.dtype), beta.to(state.dtype)),
        initial_state=state[:, :, None], output_final_state=True, cu_seqlens=cu_seqlens, chunk_size=chunk_size,
    )  # fmt: skip
    return o, state.squeeze(2) if output_final_state else None
