r"""The chunkwise-parallel addressed oscillator: exact, sequential only across chunks.

With A(t, s) = Π_{j=s+1..t} α_j and y_s = e_s z_s, what token s writes, a chunk that starts at S₀ has

    z_t = A(t, 0) k_tᵀS₀ − Σ_{s<t} A(t, s)(k_t·k_s) e_s z_s − v_t
    o_t = A(t, 0) r_tᵀS₀ − Σ_{s≤t} A(t, s)(r_t·k_s) y_s,     S_C = A(C, 0)S₀ − Σ_s A(C, s) k_s y_sᵀ.

Only the first line, a unit lower triangular system, is complex. Keys and queries are real, so the other two
are products of real matrices (`README.md` beside this file). With one α a head that is the one-row Hamiltonian
memory with a complex e, whose chunkwise form has it; with one for each channel it is done here.
"""

import torch
from torch import Tensor

from hmlcore.checks import check_int, check_optional
from hmlcore.ops.extras import power_of_two
from hmlcore.ops.faded import by_channel
from hmlcore.ops.hamiltonian import default_chunk_size, delta
from hmlcore.ops.hamiltonian.chunk import memory
from hmlcore.ops.matrix_memory import each_sequence, join_chunks, split_chunks
from hmlcore.ops.oscillator.naive import check_oscillator, write_parts
from hmlcore.ops.oscillator.solve import oscillator_solve
from hmlcore.ops.precision import without_autocast


def apart(x: Tensor) -> Tensor:
    """Packed channels q, p, q, p, … as q, q, …, p, p, …: real parts first, then imaginary ones."""
    return x.unflatten(-1, (-1, 2)).mT.flatten(-2)


def together(x: Tensor) -> Tensor:
    """The inverse of :func:`apart`."""
    return x.unflatten(-1, (2, -1)).mT.flatten(-2)


@without_autocast
@each_sequence
def chunk_oscillator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_alpha: Tensor,
    log_rho: Tensor,
    theta: Tensor,
    *,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The addressed oscillator `chunk_size` tokens at a time; the other arguments as ``naive_oscillator``.

    State, solve and coefficients are fp32 (float64 for float64 values) whatever the operands' dtype. With a
    decay for each channel (`ops/faded.py`), `chunk_size` is rounded up to a power of two.
    """
    chunk_size = check_optional("chunk_size", chunk_size, check_int)
    state = check_oscillator(q, k, v, log_alpha, log_rho, theta, initial_state)
    size = min(chunk_size or default_chunk_size(k.shape[-1]), k.shape[1])
    log_alpha, log_rho, theta = (x.to(state.dtype) for x in (log_alpha, log_rho, theta))
    if log_alpha.ndim == 4:
        o, state = _chunk_by_channel(q, k, v, log_alpha, log_rho, theta, state, power_of_two(size))
    else:
        real, imag = write_parts(log_rho, theta)
        x = delta(log_alpha, real)._replace(e=torch.stack((real, imag), -1))
        o, state = memory(q, k, v, state[:, :, None], x, size)
        state = state.squeeze(2)
    return o, state if output_final_state else None


def _chunk_by_channel(
    q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, log_rho: Tensor, theta: Tensor, state: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """o and the last state, with log α [B, T, H, N] and `size` a power of two."""
    length, out_dtype = k.shape[1], v.dtype
    # Zeros after the last token are inert: α = 1 keeps the state, ρ = 1 and θ = 0 write nothing.
    q, k, v, *gates = (split_chunks(x, size, state.dtype) for x in (q, k, v, log_alpha, log_rho, theta))
    v, state = apart(v), apart(state)
    real, imag = write_parts(*gates[1:])
    x = by_channel(q, k, gates[0])
    solved_k, solved_v, _ = oscillator_solve(x.kk, real, imag, x.first_k, v)

    starts, written = [], []
    parts = (y.unbind(2) for y in (solved_k, solved_v, x.last_k, x.keep))
    for u, tv, k_out, alpha in zip(*parts, strict=True):
        (a, b), (c, d) = (half.chunk(2, -1) for half in (u @ state).chunk(2, -2))
        y = torch.cat((a - d, b + c), -1) - tv
        starts.append(state)
        written.append(y)
        state = alpha * state - k_out @ y
    read = x.first_q @ torch.stack(starts, 2) - x.qk @ torch.stack(written, 2)
    return together(join_chunks(read, length)).to(out_dtype), together(state)
