r"""Scalar coefficients of a chunk: every product Φ(t, s) = G_t … G_{s+1}, folded with c, e, f; its gradient.

Column s of a table follows what token s wrote, e_s, through the maps of the tokens after it; p more
columns follow the chunk's first state:

    x_t(s) = G_t x_{t−1}(s) for s < t,   x_t(t) = e_t,       G = α [[1, a], [0, γ]] or α
    M(t, s) = c_tᵀ x_{t−1}(s),   O(t, s) = f_tᵀ x_t(s)

C steps for all chunks at once, a few vector operations each: products are formed as the recurrence forms
them, so nothing cancels, divides or overflows. The gradient runs the same table backwards.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.ops.hamiltonian.dynamics import Coefficients


class Products(NamedTuple):
    """Of G chunks of C tokens: columns 0 … p − 1 stand for the first state, p + s for token s.

    predict, read: M and O [C, p + C, G], zero where s ≥ t and s > t.
    last: x_C [p, p + C, G], what reaches the chunk's last state.
    path: x_0 … x_C [C + 1, p, p + C, G], kept for the gradient.
    """

    predict: Tensor
    read: Tensor
    last: Tensor
    path: Tensor


def chunk_products(x: Coefficients) -> Products:
    """Coefficients over [C, G] and [C, p, G] (time first, chunks last: long contiguous rows)."""
    size, rows, chunks = x.e.shape
    path = x.e.new_zeros(size + 1, rows, rows + size, chunks)
    for i in range(rows):
        path[0, i, i] = 1
    alpha = x.log_alpha.exp()
    fade = alpha * x.log_gamma.exp() if rows == 2 else None
    for t in range(size):
        old = rows + t
        before, after = path[t, :, :old], path[t + 1, :, :old]
        if rows == 2:
            torch.addcmul(before[0], x.drift[t], before[1], out=after[0]).mul_(alpha[t])
            torch.mul(before[1], fade[t], out=after[1])
        else:
            torch.mul(before[0], alpha[t], out=after[0])
        path[t + 1, :, old] = x.e[t]
    return Products(_fold(x.c, path[:-1]), _fold(x.f, path[1:]), path[-1], path)


def _fold(g: Tensor, path: Tensor) -> Tensor:
    """gᵀx over the rows: [C, p, G] and [C, p, p + C, G] → [C, p + C, G]."""
    folded = g[:, 0, None] * path[:, 0]
    return folded if g.shape[1] == 1 else folded.addcmul_(g[:, 1, None], path[:, 1])


def products_gradient(
    x: Coefficients, path: Tensor, d_predict: Tensor, d_read: Tensor, d_last: Tensor
) -> Coefficients:
    """The gradient with respect to `x`, from those of predict, read and last; zero entries of M and O
    may carry anything."""
    size, rows, _ = x.e.shape
    alpha = x.log_alpha.exp()
    fade = alpha * x.log_gamma.exp() if rows == 2 else None
    pull = alpha * x.drift if rows == 2 else None
    grad = torch.zeros_like(path[1:])  # with respect to x_1 … x_C
    now = d_last
    for t in reversed(range(size)):
        old = rows + t
        here, last = grad[t, :, : old + 1], now[:, : old + 1]
        for i in range(rows):
            torch.addcmul(last[i], x.f[t, i], d_read[t, : old + 1], out=here[i])
        here, asked = here[:, :old], d_predict[t, :old]
        now = here * alpha[t] if rows == 1 else here * torch.stack((alpha[t], fade[t]))[:, None]
        if rows == 2:
            now[1].addcmul_(pull[t], here[0])
        for i in range(rows):
            now[i].addcmul_(x.c[t, i], asked)
    # The column that token t itself opens gives e's gradient and is not moved by G_t.
    opened = grad.diagonal(rows, 0, 2)  # [p, G, C]
    d_e = opened.movedim(-1, 0).clone()
    opened.zero_()
    # Entries of M and O that are zero by construction meet zeros of the path.
    d_c = (d_predict[:, None] * path[:-1]).sum(2)
    d_f = (d_read[:, None] * path[1:]).sum(2)
    moved = (grad * path[1:]).sum(2)  # [C, p, G]: x ∂L/∂x, the gradient of log α; of log γ, its second row
    d_gamma, d_drift = None, None
    if rows == 2:
        d_gamma, d_drift = moved[:, 1], alpha * (grad[:, 0] * path[:-1, 1]).sum(1)
    return Coefficients(moved.sum(1), d_gamma, d_drift, d_c, d_e, d_f)
