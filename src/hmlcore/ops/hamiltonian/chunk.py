r"""The chunkwise-parallel form: exact, C tokens at a time, sequential only across chunks.

Inside a chunk, with Φ(t, s) = G_t … G_{s+1} (`products.py`):

    M = cᵀΦ(t−1, s)e (s < t),  O = fᵀΦ(t, s)e (s ≤ t),  u = cᵀΦ(t−1, 0),  w = fᵀΦ(t, 0),  y = Φ(C, s)e
    T = (I + M ∘ KKᵀ)⁻¹,   Z = T(U S − V),   o = W S − (O ∘ RKᵀ) Z,   S′ = Φ(C, 0) S − Yᵀ Z

and only the last two of Z, S′ are sequential, a few products a chunk. The gradient is written out rather
than recorded, and runs the same way backwards; `README.md` beside this file derives both. The triangular
system is the WY form of Yang et al. (arXiv 2406.06484), here for a memory of one or two rows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from hmlcore.errors import require
from hmlcore.ops.hamiltonian.check import check_inputs
from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.hamiltonian.products import chunk_products, products_gradient
from hmlcore.ops.packing import check_cu_seqlens, repack, unpack
from hmlcore.ops.precision import without_autocast


def default_chunk_size(n: int) -> int:
    """The chunk size that trains fastest on a CPU for keys of dimension `n`.

    Work inside a chunk grows with C, the state pass shrinks with it; they balance near C = n. Beyond 64
    nothing gains.
    """
    return min(64, max(16, n))


class _ChunkMemory(torch.autograd.Function):
    """n chunks of S sequences and heads: r, k [n, S, C, N], v [n, S, C, D], state [S, pN, D], coefficients
    [C, n·S] and [C, p, n·S] → o [n, S, C, D] and the last state [S, pN, D]."""

    @staticmethod
    def forward(ctx, r, k, v, state, *coefficients):
        x = Coefficients(*coefficients)
        p = x.e.shape[1]
        products = chunk_products(x)
        predict, read, last = (_chunks_first(t, k) for t in (products.predict, products.read, products.last))
        keys, asked = k @ k.mT, r @ k.mT
        identity = torch.eye(k.shape[2], dtype=k.dtype, device=k.device).expand_as(keys)
        solve = torch.linalg.solve_triangular(
            predict[..., p:] * keys, identity, upper=False, unitriangular=True
        )
        solved_u, errors = solve @ _rows(predict[..., :p], k), -(solve @ v)
        phi, writes = last[..., :p], _rows(last[..., p:].mT, k)
        states = torch.cat((state[None], torch.empty_like(state).expand(len(k), *state.shape)))
        for i in range(len(k)):
            errors[i].baddbmm_(solved_u[i], states[i])
            _carry(phi[i], states[i], states[i + 1]).baddbmm_(writes[i].mT, errors[i], alpha=-1)
        o = _rows(read[..., :p], r) @ states[:-1] - (read[..., p:] * asked) @ errors
        ctx.save_for_backward(
            r, k, predict, read, last, products.path, keys, asked, solve, solved_u, writes, states, errors,
            *coefficients,
        )  # fmt: skip
        return o, states[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, d_o, d_state):
        (
            r, k, predict, read, last, path, keys, asked, solve, solved_u, writes, states, errors,
            *coefficients,
        ) = ctx.saved_tensors  # fmt: skip
        x = Coefficients(*coefficients)
        p, starts = x.e.shape[1], states[:-1]
        phi = last[..., :p]
        # Negative gradients of the errors, first as outputs see them, then with what the state passes back.
        d_errors = (read[..., p:] * asked).mT @ d_o
        seen = _rows(read[..., :p], r).mT @ d_o
        d_states = torch.cat((torch.empty_like(starts), d_state[None]))
        for i in reversed(range(len(k))):
            d_errors[i].baddbmm_(writes[i], d_states[i + 1])
            _carry(phi[i].mT, d_states[i + 1], d_states[i]).add_(seen[i])
            d_states[i].baddbmm_(solved_u[i].mT, d_errors[i], alpha=-1)
        ends = d_states[1:]  # gradients of the states after each chunk
        d_values = solve.mT @ d_errors
        d_system, d_mixed = d_values @ errors.mT, -d_o @ errors.mT
        d_u, d_w, d_y = -d_values @ starts.mT, d_o @ starts.mT, -errors @ ends.mT
        d_keys, d_asked = d_system * predict[..., p:], d_mixed * read[..., p:]
        d_k = (d_keys + d_keys.mT) @ k + d_asked.mT @ r
        d_k += _weighted(predict[..., :p], d_u) + _weighted(last[..., p:].mT, d_y)
        d_r = d_asked @ k + _weighted(read[..., :p], d_w)
        pairs = (y.unflatten(-2, (p, -1)).flatten(-2) for y in (ends, starts))
        d_phi = next(pairs) @ next(pairs).mT
        tables = (
            torch.cat((_dots(d_u, k), d_system * keys), -1),
            torch.cat((_dots(d_w, r), d_mixed * asked), -1),
            torch.cat((d_phi, _dots(d_y, k).mT), -1),
        )
        grads = products_gradient(x, path, *(_chunks_last(table) for table in tables))
        return d_r, d_k, d_values, d_states[0], *grads


def _carry(phi: Tensor, state: Tensor, out: Tensor) -> Tensor:
    """(Φ ⊗ I)S into `out`: phi [S, p, p], states [S, pN, D]."""
    across = (len(phi), phi.shape[-1], -1)
    torch.bmm(phi, state.view(across), out=out.view(across))
    return out


def _chunks_first(table: Tensor, k: Tensor) -> Tensor:
    """[C, columns, n·S] → [n, S, C, columns]."""
    # As a matrix: transposing one is much faster than permuting three dimensions.
    return table.flatten(0, 1).t().contiguous().unflatten(1, table.shape[:2]).unflatten(0, k.shape[:2])


def _chunks_last(table: Tensor) -> Tensor:
    """[n, S, C, columns] → [C, columns, n·S]."""
    return table.flatten(0, 1).flatten(1).t().contiguous().unflatten(0, table.shape[2:])


def _rows(coefficient: Tensor, x: Tensor) -> Tensor:
    """[x₀X | x₁X]: scalars [..., C, p] times vectors [..., C, N], as one [..., C, p·N] matrix."""
    return (coefficient[..., None] * x[..., None, :]).flatten(-2)


def _weighted(coefficient: Tensor, d: Tensor) -> Tensor:
    """The gradient of :func:`_rows` with respect to its vectors."""
    return (coefficient[..., None, :] @ d.unflatten(-1, (coefficient.shape[-1], -1))).squeeze(-2)


def _dots(d: Tensor, x: Tensor) -> Tensor:
    """The gradient of :func:`_rows` with respect to its scalars."""
    return (d.unflatten(-1, (-1, x.shape[-1])) * x[..., None, :]).sum(-1)


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
    and autocast; `o` has the dtype of `v`. Differentiable once. Work per token O(C(N + D) + pND), memory
    O(T(C + pN)).
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
    (batch, length, heads, n), out_dtype = k.shape, v.dtype
    size = min(chunk_size or default_chunk_size(n), length)

    def split(x: Tensor) -> Tensor:
        """[B, T, H, ...] to [n, B·H, C, ...], padded with zeros."""
        x = F.pad(x.to(state.dtype).transpose(1, 2), (0, 0) * (x.ndim - 3) + (0, -length % size))
        return x.flatten(0, 1).unflatten(1, (-1, size)).transpose(0, 1).contiguous()

    def time_first(x: Tensor) -> Tensor:
        """[B, T, H] to [C, n·B·H], [B, T, H, p] to [C, p, n·B·H]."""
        return split(x).flatten(0, 1).movedim(0, -1).contiguous()

    o, s = _ChunkMemory.apply(
        split(r), split(k), split(v), state.flatten(0, 1).flatten(1, 2), *coefficients.map(time_first)
    )
    o = o.transpose(0, 1).flatten(1, 2)[:, :length].unflatten(0, (batch, heads)).transpose(1, 2)
    return o.to(out_dtype), s.view_as(state) if output_final_state else None
