r"""Scalar coefficients of a chunk: every product Φ(t, s) = G_t … G_{s+1}, folded with c, e, f; its gradient.

Column s of a table follows what token s wrote, e_s, through the maps of the tokens after it; p more
columns follow the chunk's first state:

    x_t(s) = Φ(t, s)e_s,   G = α [[1, a], [0, γ]] or α
    M(t, s) = c_tᵀ x_{t−1}(s),   O(t, s) = f_tᵀ x_t(s) = (G_tᵀf_t)ᵀ x_{t−1}(s) for s < t, f_tᵀe_t for s = t

With A and D′ the products of α and of αγ between s and t, the momentum is D′e², and the position gathers it:

    x¹_t(s) = A(t, s)e¹_s + Σ_{j ≤ t} A(t, j) α_j a_j x²_{j−1}(s),

a product of matrices. A and D′ are formed as the recurrence forms them, and sums have positive terms:
nothing cancels, divides or overflows. The gradient runs through the same two products, transposed.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.ops.hamiltonian.dynamics import Coefficients


class Products(NamedTuple):
    """Of G chunks of C tokens: columns 0 … p − 1 stand for the first state, p + s for token s.

    folded: M and O [2, G, C, p + C], zero where s ≥ t and s > t.
    path: x_0 … x_C [p, G, C + 1, p + C], zero where s > t; its last row reaches the chunk's last state.
    decays: A and D′ in the same places, [p, G, C + 1, p + C].
    weights: c and Gᵀf, what M and O ask of x_{t−1}: [p, 2, G, C].
    """

    folded: Tensor
    path: Tensor
    decays: Tensor
    weights: Tensor


def chunk_products(x: Coefficients) -> Products:
    """Coefficients over [G, C] and [G, C, p]."""
    chunks, size, rows = x.e.shape
    alpha, fade, drive = _gates(x)
    decays = x.e.new_zeros(rows, chunks, size + 1, rows + size)
    decays[:, :, 0, :rows] = 1
    decays[:, :, 1:, rows:].diagonal(0, 2, 3).fill_(1)
    lines = decays.unbind(2)
    for t, gate in enumerate(
        (alpha[None] if fade is None else torch.stack((alpha, fade)))[..., None].unbind(2)
    ):
        torch.mul(lines[t][..., : rows + t], gate, out=lines[t + 1][..., : rows + t])
    starts = x.e.new_zeros(rows, chunks, 1, rows + size)
    for i in range(rows):
        starts[i, :, 0, i] = 1
    starts[:, :, 0, rows:] = x.e.movedim(-1, 0)
    path = decays * starts
    if drive is not None:
        path[0].baddbmm_(decays[0, :, :, rows:], drive[..., None] * path[1, :, :-1])

    weights = x.e.new_empty(rows, 2, chunks, size)
    weights[:, 0] = x.c.movedim(-1, 0)
    torch.mul(alpha, x.f[..., 0], out=weights[0, 1])
    folded = weights[0, ..., None] * path[0, :, :-1]
    if fade is not None and drive is not None:
        torch.mul(drive, x.f[..., 0], out=weights[1, 1]).addcmul_(fade, x.f[..., 1])
        folded.addcmul_(weights[1, ..., None], path[1, :, :-1])
    folded[1].diagonal(rows, 1, 2).copy_((x.e * x.f).sum(-1))
    return Products(folded, path, decays, weights)


def _gates(x: Coefficients) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The entries of G: α, and for two rows αγ and αa."""
    alpha = x.log_alpha.exp()
    if x.log_gamma is None or x.drift is None:
        return alpha, None, None
    return alpha, alpha * x.log_gamma.exp(), alpha * x.drift


def products_gradient(x: Coefficients, products: Products, d_folded: Tensor, d_last: Tensor) -> Coefficients:
    """The gradient with respect to `x`, from those of `folded` and of the path's last row [p, G, p + C].

    Entries of d_folded where M and O are zero may carry anything: they meet zeros of the path.
    """
    _, path, decays, weights = products
    rows = len(path)
    alpha, fade, drive = _gates(x)
    # What the tables ask of x_0 … x_C, and then, in `grad`, with what later tokens hand back.
    asked, grad = torch.empty_like(path), torch.empty_like(path)
    for i in range(rows):
        torch.mul(weights[i, 0, ..., None], d_folded[0], out=asked[i, :, :-1])
        asked[i, :, :-1].addcmul_(weights[i, 1, ..., None], d_folded[1])
    asked[:, :, -1] = d_last
    torch.bmm(decays[0, :, :, rows - 1 :].mT, asked[0], out=grad[0])
    if drive is not None:
        asked[1, :, :-1].addcmul_(drive[..., None], grad[0, :, 1:])
        torch.bmm(decays[1, :, :, rows - 1 :].mT, asked[1], out=grad[1])
    before, after, grad = path[:, :, :-1], path[:, :, 1:], grad[:, :, 1:]
    # The column that token t itself opens gives e's gradient and is not moved by G_t.
    opened = grad[..., rows:].diagonal(0, 2, 3)
    d_e = opened.movedim(0, -1).contiguous()
    opened.zero_()
    itself = d_folded[1].diagonal(rows, 1, 2)[..., None]  # of f_tᵀe_t
    d_e.addcmul_(itself, x.f)
    d_c = torch.stack([_rows_dot(d_folded[0], row) for row in before], -1)
    d_read = [_rows_dot(d_folded[1], row) for row in before]  # of Gᵀf
    moved = [_rows_dot(g, row) for g, row in zip(grad, after, strict=True)]  # x ∂L/∂x: of log α, of log γ
    d_alpha = moved[0].clone().addcmul_(weights[0, 1], d_read[0])
    d_f = itself * x.e
    d_f[..., 0].addcmul_(alpha, d_read[0])
    if fade is None or drive is None:
        return Coefficients(d_alpha, None, None, d_c, d_e, d_f)
    d_alpha.add_(moved[1]).addcmul_(weights[1, 1], d_read[1])
    d_f[..., 0].addcmul_(drive, d_read[1])
    faded = fade * d_read[1]
    d_f[..., 1].add_(faded)
    d_gamma = moved[1].addcmul_(faded, x.f[..., 1])
    d_drift = _rows_dot(grad[0], before[1]).addcmul_(x.f[..., 0], d_read[1]).mul_(alpha)
    return Coefficients(d_alpha, d_gamma, d_drift, d_c, d_e, d_f)


def _rows_dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)
