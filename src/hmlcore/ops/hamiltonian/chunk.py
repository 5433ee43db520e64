r"""The chunkwise-parallel form: exact, C tokens at a time, sequential only across chunks.

Inside a chunk, with Φ(t, s) = G_t … G_{s+1} = A [[1, X], [0, D]]:

    M = cᵀΦ(t−1, s)e (s < t),  O = fᵀΦ(t, s)e (s ≤ t),  u = cᵀΦ(t−1, 0),  w = fᵀΦ(t, 0),  y = Φ(C, s)e
    (I + tril(M ∘ KKᵀ, −1)) Z = U S − V,   o = W S − (O ∘ RKᵀ) Z,   S′ = Φ(C, 0) S − Yᵀ Z

Derivation: `README.md` beside this file. The triangular system is the WY form of
Yang et al. (arXiv 2406.06484), here for a memory of one or two rows.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.hamiltonian.check import check_inputs
from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.packing import check_cu_seqlens, repack, unpack
from hmlcore.ops.precision import without_autocast


def default_chunk_size(n: int) -> int:
    """The chunk size that trains fastest on a CPU for keys of dimension `n`.

    The C×C coefficient matrices are memory-bound element-wise work and grow with C, the state pass
    shrinks with it; they balance near C = n. Beyond 64 nothing gains.
    """
    return min(64, max(16, n))


class _Chunk(NamedTuple):
    """Scalar coefficients of every chunk: M, O [..., C, C]; u, w, y [..., C, p]; phi [..., p, p]."""

    m: Tensor
    o: Tensor
    u: Tensor
    w: Tensor
    y: Tensor
    phi: Tensor


def _decay(log_g: Tensor) -> Tensor:
    """exp(Σ_{j=s+1..t} log g_j) for 0 ≤ s ≤ t ≤ C, zero above the diagonal: [..., C] → [..., C+1, C+1].

    Sums of the masked terms themselves: the difference of two prefix sums loses up to five times
    more digits when g is small.
    """
    size = log_g.shape[-1]
    lower = torch.ones(size, size + 1, dtype=torch.bool, device=log_g.device).tril()
    terms = log_g[..., None].expand(*log_g.shape, size + 1).masked_fill(~lower, 0)
    sums = F.pad(terms.cumsum(-2), (0, 0, 1, 0))
    visible = torch.ones(size + 1, size + 1, dtype=torch.bool, device=log_g.device).tril()
    return sums.exp() * visible


def _chunk_coefficients(x: Coefficients) -> _Chunk:
    """All products Φ(t, s) of a chunk folded with c, e and f; x over [..., C] and [..., C, p]."""
    a = _decay(x.log_alpha)
    before, after = a[..., :-1, :], a[..., 1:, :]  # rows t−1 and t, columns s = 0..C
    if x.rows == 1:
        c, e, f = x.c, x.e.squeeze(-1)[..., None, :], x.f
        return _Chunk(
            m=c * before[..., 1:] * e,
            o=f * after[..., 1:] * e,
            u=c * before[..., :1],
            w=f * after[..., :1],
            y=(after[..., -1, 1:] * e.squeeze(-2))[..., None],
            phi=after[..., -1:, :1],
        )
    d = _decay(x.log_gamma)
    # X[t, s] = Σ_{j=s+1..t} a_j D[j−1, s]: positive terms, no cancellation.
    carried = F.pad((x.drift[..., None] * d[..., :-1, :]).cumsum(-2), (0, 0, 1, 0))
    c, f = x.c[..., None, :], x.f[..., None, :]
    e1, e2 = (y[..., None, :] for y in x.e.unbind(-1))

    def fold(g: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """gᵀΦ(t, s) for the chosen rows t: two [..., C, C+1] matrices."""
        scale = a[..., rows, :]
        return scale * g[..., 0], scale * (g[..., 0] * carried[..., rows, :] + g[..., 1] * d[..., rows, :])

    predict, read = fold(c, slice(None, -1)), fold(f, slice(1, None))
    last_a, last_x, last_d = a[..., -1, :], carried[..., -1, :], d[..., -1, :]
    y1 = last_a[..., 1:] * (e1.squeeze(-2) + last_x[..., 1:] * e2.squeeze(-2))
    y2 = last_a[..., 1:] * last_d[..., 1:] * e2.squeeze(-2)
    start = torch.stack((torch.ones_like(last_a[..., 0]), last_x[..., 0]), -1)
    friction = torch.stack((torch.zeros_like(last_d[..., 0]), last_d[..., 0]), -1)
    return _Chunk(
        m=predict[0][..., 1:] * e1 + predict[1][..., 1:] * e2,
        o=read[0][..., 1:] * e1 + read[1][..., 1:] * e2,
        u=torch.stack((predict[0][..., 0], predict[1][..., 0]), -1),
        w=torch.stack((read[0][..., 0], read[1][..., 0]), -1),
        y=torch.stack((y1, y2), -1),
        phi=last_a[..., :1, None] * torch.stack((start, friction), -2),
    )


def _rows(coefficient: Tensor, x: Tensor) -> Tensor:
    """[x₀X | x₁X]: scalars [..., C, p] times vectors [..., C, N], as one [..., C, p·N] matrix."""
    return (coefficient[..., None] * x[..., None, :]).flatten(-2)


@without_autocast
def chunk_hamiltonian(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    coefficients: Coefficients,
    initial_state: Tensor | None = None,
    output_final_state: bool = False,
    cu_seqlens: Tensor | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """The Hamiltonian memory, `chunk_size` tokens at a time (None: :func:`default_chunk_size`);
    the other arguments as ``naive_hamiltonian``.

    State, solve and coefficients are fp32 (float64 for float64 values) whatever the operands' dtype
    and autocast; `o` has the dtype of `v`. Work per token O(C(N + D) + pND), memory O(T(C + pN)).
    """
    require(chunk_size is None or chunk_size >= 1, f"chunk_size must be at least 1, got {chunk_size}")
    if cu_seqlens is not None:
        bounds = check_cu_seqlens(cu_seqlens, *k.shape[:2])
        check_inputs(r, k, v, coefficients, initial_state, len(bounds) - 1)
        # Zero padding is inert: log α = log γ = 0 keeps the state, a = e = 0 moves and writes nothing.
        part = (unpack(x, bounds) for x in (r, k, v))
        o, state = chunk_hamiltonian(
            *part, coefficients.map(lambda x: unpack(x, bounds)), initial_state, output_final_state,
            chunk_size=chunk_size,
        )  # fmt: skip
        return repack(o, bounds), state

    state = check_inputs(r, k, v, coefficients, initial_state)
    length, out_dtype = k.shape[1], v.dtype
    size = min(chunk_size or default_chunk_size(k.shape[-1]), length)

    def split(x: Tensor) -> Tensor:
        """[B, T, H, ...] to [B, H, chunks, C, ...], padded with zeros."""
        x = F.pad(x.to(state.dtype).transpose(1, 2), (0, 0) * (x.ndim - 3) + (0, -length % size))
        return x.unflatten(2, (-1, size))

    r, k, v = split(r), split(k), split(v)
    x = _chunk_coefficients(coefficients.map(split))
    # Unit triangular, so the diagonal of M ∘ KKᵀ is never read.
    system = (x.m * (k @ k.mT)).tril(-1)
    width = x.u.shape[-1] * k.shape[-1]
    solved = torch.linalg.solve_triangular(
        system, torch.cat((_rows(x.u, k), v), -1), upper=False, unitriangular=True
    )
    solved_u, solved_v = solved[..., :width].unbind(2), solved[..., width:].unbind(2)
    writes, phi = _rows(x.y, k).mT.unbind(2), x.phi.unbind(2)

    s = state  # [B, H, p, N, D]
    starts, errors = [], []
    for u, tv, y, g in zip(solved_u, solved_v, writes, phi, strict=True):
        flat = s.flatten(2, 3)
        z = u @ flat - tv
        starts.append(flat)
        errors.append(z)
        s = (g @ s.flatten(3)).view_as(s) - (y @ z).view_as(s)
    read = _rows(x.w, r) @ torch.stack(starts, 2) - (x.o * (r @ k.mT)).tril() @ torch.stack(errors, 2)
    o = read.flatten(2, 3)[:, :, :length].transpose(1, 2)
    return o.to(out_dtype), s if output_final_state else None
