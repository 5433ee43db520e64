"""The chunkwise-parallel momentum delta rule: exact, sequential only across chunks.

With P = −M and z = pᵀS − vᵀ the rule reads

    (S, P)_t = G_t (S, P)_{t−1} − (βη, η)_t ⊗ k_t z_t,     G = [[α, βμ], [0, μ]],

and a product of G's is Φ(t, s) = [[A, X], [0, B]] with A = Πα, B = Πμ and

    X(t, s) = Σ_{j=s+1..t} A(t, j) β_j μ_j B(j−1, s),

sums and products of numbers in [0, 1]: nothing cancels, nothing is divided. As in the Hamiltonian memory
(`hamiltonian/README.md`), unrolling S from the chunk's first state leaves a unit lower triangular system for
the errors z of its tokens. For p = αk this is that memory's symplectic Euler step with h = β and friction
μ/α; it has a form of its own because MDN forgets faster than momentum fades (α < μ), so that the products
of μ/α overflow fp32, and because its two keys, p and k, may differ.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.checks import check_int, check_optional
from hmlcore.ops.hamiltonian import default_chunk_size
from hmlcore.ops.matrix_memory import decay_matrix, each_sequence, join_chunks, split_chunks
from hmlcore.ops.momentum_delta.naive import check_momentum_delta
from hmlcore.ops.precision import without_autocast


class _Chunk(NamedTuple):
    """Scalar coefficients of every chunk, over [B, H, chunks, ...]."""

    predict: Tensor  # [C, C]: the weight of z_s k_s in the S that token t's error sees, s < t
    read: Tensor  # [C, C]: the same in the S that token t reads, s ≤ t
    before: Tensor  # [C, 2]: the weight of the chunk's first (S, P) in the former
    after: Tensor  # [C, 2]: and in the latter
    write: Tensor  # [C, 2]: the weight of z_s k_s in the chunk's last (S, P)
    phi: Tensor  # [2, 2]: Φ(C, 0)


def _chunk_coefficients(log_alpha: Tensor, log_mu: Tensor, beta: Tensor, eta: Tensor) -> _Chunk:
    """Gates [B, H, chunks, C] to the products of a chunk."""
    a, b = decay_matrix(log_alpha), decay_matrix(log_mu)
    x = a[..., 1:] @ ((beta * log_mu.exp())[..., None] * b[..., :-1, :])
    e_s, e_p = (beta * eta)[..., None, :], eta[..., None, :]
    pushed = a[..., 1:] * e_s + x[..., 1:] * e_p  # rows t = 0 … C, columns s = 1 … C
    carried = torch.stack((a[..., 0], x[..., 0]), -1)
    fading = b[..., -1, 1:] * eta
    last = torch.stack((torch.zeros_like(b[..., -1, 0]), b[..., -1, 0]), -1)
    return _Chunk(
        predict=pushed[..., :-1, :],
        read=pushed[..., 1:, :],
        before=carried[..., :-1, :],
        after=carried[..., 1:, :],
        write=torch.stack((pushed[..., -1, :], fading), -1),
        phi=torch.stack((carried[..., -1, :], last), -2),
    )


def _rows(coefficient: Tensor, x: Tensor) -> Tensor:
    """Scalars [..., C, 2] times vectors [..., C, N], as one [..., C, 2N] matrix."""
    return (coefficient[..., None] * x[..., None, :]).flatten(-2)


@without_autocast
@each_sequence
def chunk_momentum_delta(
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
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The momentum delta rule `chunk_size` tokens at a time; the other arguments as ``naive_momentum_delta``.

    State, solve and coefficients are fp32 (float64 for float64 values) whatever the operands' dtype.
    """
    chunk_size = check_optional("chunk_size", chunk_size, check_int)
    state = check_momentum_delta(q, k, v, log_alpha, log_mu, beta, eta, p, initial_state)
    length, n, out_dtype = k.shape[1], k.shape[-1], v.dtype
    size = min(chunk_size or default_chunk_size(n), length)
    p = log_alpha.to(state.dtype).exp()[..., None] * k if p is None else p
    # Zeros after the last token are inert: α = μ = 1 keep the state, β = η = 0 move and write nothing.
    q, k, v, p, *gates = (
        split_chunks(x, size, state.dtype) for x in (q, k, v, p, log_alpha, log_mu, beta, eta)
    )
    c = _chunk_coefficients(*gates)
    system = (c.predict * (p @ k.mT)).tril(-1)
    solved = torch.linalg.solve_triangular(
        system, torch.cat((_rows(c.before, p), v), -1), upper=False, unitriangular=True
    )
    solved_p, solved_v = solved[..., : 2 * n].unbind(2), solved[..., 2 * n :].unbind(2)
    writes, phi = _rows(c.write, k).mT.unbind(2), c.phi.unbind(2)

    sign = state.new_tensor([1, -1])[:, None, None]
    s = sign * state  # (S, P)
    starts, errors = [], []
    for u, tv, y, g in zip(solved_p, solved_v, writes, phi, strict=True):
        flat = s.flatten(2, 3)
        z = u @ flat - tv
        starts.append(flat)
        errors.append(z)
        s = (g @ s.flatten(3)).view_as(s) - (y @ z).view_as(s)
    read = _rows(c.after, q) @ torch.stack(starts, 2) - (c.read * (q @ k.mT)).tril() @ torch.stack(errors, 2)
    return join_chunks(read, length).to(out_dtype), sign * s if output_final_state else None
