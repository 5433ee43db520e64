r"""A group of chunks of the Hamiltonian memory: what they do at once, and what goes from one to the next.

`chunk.py` beside this file has the equations and cuts sequences into groups; bars in `README.md` are the
``d_`` of names here. A group holds G chunks: m in time, one after the other, of S sequences and heads.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.hamiltonian.products import Products, chunk_products, products_gradient


class Group(NamedTuple):
    """What does not depend on the state."""

    x: Coefficients  # [G, C] and [G, C, p]
    products: Products
    vectors: Tensor  # K, R [2, G, C, N]
    pairs: Tensor  # KKᵀ, RKᵀ [2, G, C, C]
    mixed: Tensor  # M ∘ KKᵀ, O ∘ RKᵀ [2, G, C, C]
    rows: Tensor  # U, W [2, G, C, pN]
    y: Tensor  # [G, C, p]
    writes: Tensor  # Y [G, C, pN]
    phi: Tensor  # Φ(C, 0) [G, p, p]
    turn: Tensor | None  # a complex e [G, C]: then Z is e ∘ z, what is written, and e is 1 elsewhere here


def prepare(vectors: Tensor, x: Coefficients) -> Group:
    """The group of `vectors` [2, G, C, N], keys and then queries, and coefficients over [G, C]."""
    (keys, queries), p, turn = vectors, x.rows, None
    if x.turning:
        turn, x = torch.view_as_complex(x.e), x._replace(e=torch.ones_like(x.c))
    products = chunk_products(x)
    pairs = vectors.new_empty(*vectors.shape[:3], vectors.shape[2])
    torch.bmm(keys, keys.mT, out=pairs[0])
    torch.bmm(queries, keys.mT, out=pairs[1])
    last = products.path[:, :, -1]
    y = last[..., p:].movedim(0, -1).contiguous()
    return Group(
        x, products, vectors, pairs,
        mixed=products.folded[..., p:] * pairs,
        rows=_rows(products.folded[..., :p], vectors),
        y=y,
        writes=_rows(y, keys),
        phi=last[..., :p].movedim(0, 1).contiguous(),
        turn=turn,
    )  # fmt: skip


def state_pass(g: Group, values: Tensor, solve: Tensor, errors: Tensor, states: Tensor) -> None:
    """Z = T(US − V), S′ = Φ(C, 0)S − YᵀZ, chunk after chunk.

    Args:
        values: V [G, C, D], in whose place US − V is left.
        solve, errors: where T [m, S, C, C], as pairs if complex, and Z [m, S, C, D] go.
        states: [m + 1, S, pN, D], of which the first is given and the others are written.
    """
    solve, errors, inverse = _numbers(g, solve.flatten(0, 1)), errors.flatten(0, 1), _inverse(g)
    solve.copy_(inverse)
    at, across = _between(states, g.phi)
    differences, found = _numbers(g, values.neg_()), _numbers(g, errors)
    steps = _chunk_by_chunk(
        states.shape[1], g.rows[0], values, differences, solve, found, errors, g.phi, g.writes.mT
    )
    for i, (u, guess, difference, t, z, written, phi, y) in enumerate(steps):
        guess.baddbmm_(u, at[i])
        torch.bmm(t, difference, out=z)
        at[i + 1].baddbmm_(y, written, beta=0, alpha=-1)
        across[i + 1].baddbmm_(phi, across[i])


def _inverse(g: Group) -> Tensor:
    """T = (I + L)⁻¹, L = M ∘ KKᵀ, or where errors turn diag(e)(I + L diag(e))⁻¹, [G, C, C]."""
    system = g.mixed[0] if g.turn is None else g.mixed[0] * g.turn[:, None]
    identity = torch.eye(system.shape[-1], dtype=system.dtype, device=system.device).expand_as(system)
    inverse = torch.linalg.solve_triangular(system, identity, upper=False, unitriangular=True)
    return inverse if g.turn is None else inverse.mul_(g.turn[..., None])


def _numbers(g: Group, x: Tensor) -> Tensor:
    """A view of real x: where errors turn, its pairs of neighbours as complex numbers."""
    return x if g.turn is None else torch.view_as_complex(x.unflatten(-1, (-1, 2)))


def plain_errors(g: Group, differences: Tensor, errors: Tensor, out: Tensor) -> None:
    """z = US − V − LZ, of which Z is e ∘ z, into `out`; all [G, C, D]."""
    torch.baddbmm(differences, g.mixed[0], errors, alpha=-1, out=out)


def outputs(g: Group, errors: Tensor, states: Tensor) -> Tensor:
    """o = WS − (O ∘ RKᵀ)Z: [G, C, D]."""
    return (g.mixed[1] @ errors.flatten(0, 1)).baddbmm_(g.rows[1], states[:-1].flatten(0, 1), beta=-1)


def state_pass_gradient(g: Group, solve: Tensor, d_o: Tensor, d_last: Tensor) -> tuple[Tensor, ...]:
    """−Z̄ and V̄ [G, C, D] and the gradients of the states between chunks [m + 1, S, pN, D], last chunk first.

    Args: solve, as in :func:`state_pass`;  d_o [G, C, D];  d_last, the gradient of the group's last state,
        [S, pN, D].
    """
    # −Z̄, here as outputs see it, below with what the state passes back.
    d_errors, d_values = g.mixed[1].mT @ d_o, torch.empty_like(d_o)
    # A conjugate that is formed: torch's lazy one is not seen by an operator inside a compiled graph.
    back = torch.conj_physical(_numbers(g, solve.flatten(0, 1))).mT
    d_states = d_last.new_empty(len(d_o) // len(d_last) + 1, *d_last.shape)
    d_states[-1] = d_last
    torch.bmm(g.rows[1].mT, d_o, out=d_states[:-1].flatten(0, 1))
    at, across = _between(d_states, g.phi)
    asked, given = _numbers(g, d_errors), _numbers(g, d_values)
    steps = _chunk_by_chunk(
        len(d_last), d_errors, asked, g.writes, given, d_values, back, g.phi.mT, g.rows[0].mT
    )
    for i, (d_error, d_z, y, d_v, d_value, t, phi, u) in reversed(list(enumerate(steps))):
        d_error.baddbmm_(y, at[i + 1])
        torch.bmm(t, d_z, out=d_v)
        at[i].baddbmm_(u, d_value, alpha=-1)
        across[i].baddbmm_(phi, across[i + 1])
    return d_errors, d_values, d_states


def turn_gradient(g: Group, plain: Tensor, d_errors: Tensor, d_values: Tensor) -> Tensor:
    """The gradient of a complex e, [G, C, 2]: ē_s = Σ z̅_s (Z̄ + LᵀV̄)_s over pairs, z̅ the conjugate.

    Args: plain: z;  d_errors: −Z̄, overwritten;  d_values: V̄; all [G, C, D].
    """
    met = _numbers(g, d_errors.baddbmm_(g.mixed[0].mT, d_values, alpha=-1))
    return torch.view_as_real((torch.conj_physical(_numbers(g, plain)) * met).sum(-1).neg_())


def group_gradient(
    g: Group, d_o: Tensor, d_values: Tensor, errors: Tensor, starts: Tensor, d_ends: Tensor
) -> tuple[Tensor, Tensor, Coefficients]:
    """R̄, K̄ [G, C, N] and the gradients of the coefficients; the group is used up.

    Args:
        d_o, d_values: ō and V̄ [G, C, D];  errors: Z [m, S, C, D].
        starts, d_ends: the state before each chunk, and the gradient of that after it, [m, S, pN, D].
    """
    (keys, queries), folded, p = g.vectors, g.products.folded, g.phi.shape[-1]
    errors, starts, d_ends = (y.flatten(0, 1) for y in (errors, starts, d_ends))
    # Over what only the passes needed: fresh memory is dear.
    d_rows, d_mixed, d_writes = g.rows, g.mixed, g.writes
    d_rows[0].baddbmm_(d_values, starts.mT, beta=0, alpha=-1)
    torch.bmm(d_o, starts.mT, out=d_rows[1])
    torch.bmm(d_values, errors.mT, out=d_mixed[0])
    d_mixed[1].baddbmm_(d_o, errors.mT, beta=0, alpha=-1)
    d_writes.baddbmm_(errors, d_ends.mT, beta=0, alpha=-1)

    d_folded = torch.empty_like(folded)
    _dots(d_rows, g.vectors, d_folded[..., :p])
    torch.mul(d_mixed, g.pairs, out=d_folded[..., p:])
    d_table = folded.new_empty(p, *folded.shape[1::2])  # of the path's last row
    ends, begins = (s.unflatten(1, (p, -1)).flatten(2) for s in (d_ends, starts))
    d_table[..., :p] = (ends @ begins.mT).movedim(1, 0)
    _dots(d_writes, keys, d_table[..., p:].movedim(0, -1))

    d_pairs = d_mixed.mul_(folded[..., p:])
    d_keys, d_queries = _weighted(folded[..., :p], d_rows)
    d_queries.baddbmm_(d_pairs[1], keys)
    d_keys.baddbmm_(d_pairs[0], keys).baddbmm_(d_pairs[0].mT, keys).baddbmm_(d_pairs[1].mT, queries)
    d_keys += _weighted(g.y, d_writes)
    return d_queries, d_keys, products_gradient(g.x, g.products, d_folded, d_table)


def _chunk_by_chunk(heads: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Of tensors [G, ...], the views [S, ...] of each chunk in time."""
    return zip(*(x.unflatten(0, (-1, heads)).unbind(0) for x in tensors), strict=True)


def _between(states: Tensor, phi: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Views of the states [m + 1, S, pN, D], one by one: as they are, and as [S, p, N·D] for Φ ⊗ I."""
    return states.unbind(0), states.view(*states.shape[:2], phi.shape[-1], -1).unbind(0)


# A row of state at a time, below: with p as a dimension of its own, torch would run along p, not along N.


def _rows(coefficient: Tensor, x: Tensor) -> Tensor:
    """[x₀X | x₁X]: scalars [..., C, p] times vectors [..., C, N], as one [..., C, p·N] matrix."""
    rows = x.new_empty(*coefficient.shape, x.shape[-1])
    for i in range(coefficient.shape[-1]):
        torch.mul(x, coefficient[..., i, None], out=rows[..., i, :])
    return rows.flatten(-2)


def _weighted(coefficient: Tensor, d: Tensor) -> Tensor:
    """The gradient of :func:`_rows` with respect to its vectors."""
    first, *second = d.unflatten(-1, (coefficient.shape[-1], -1)).unbind(-2)
    total = first * coefficient[..., 0, None]
    return total.addcmul_(second[0], coefficient[..., 1, None]) if second else total


def _dots(d: Tensor, x: Tensor, out: Tensor) -> None:
    """The gradient of :func:`_rows` with respect to its scalars, into `out`."""
    product = torch.empty_like(x)
    for i, row in enumerate(d.unflatten(-1, (out.shape[-1], -1)).unbind(-2)):
        out[..., i] = torch.mul(row, x, out=product).sum(-1)
