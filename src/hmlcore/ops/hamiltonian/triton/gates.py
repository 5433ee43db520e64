"""The backward kernel of the coefficients, from what the other backward kernels found.

With x_t(s) = Φ(t, s)e_s, the gradient of x_t(s) is what all later tokens read of it,

    Σ Φ(t′, t)ᵀf_t′ Ō(t′, s) + Σ Φ(t′ − 1, t)ᵀc_t′ M̄(t′, s) + Φ(C, t)ᵀȳ(s):

products of matrices. A launch for each row of state: the tables of both do not fit a program's registers.
"""

import triton
import triton.language as tl

from hmlcore.ops.hamiltonian.triton.tables import chunk_products, folded, place, scalars, start_products
from hmlcore.ops.triton_tiles import dot, load_tile


@triton.jit
def table_gradients(
    r, k, errors, d_o, d_values, first, left,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, C: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """M̄ and Ō of a chunk, [C, C] each, zero where M and O are."""
    t, s = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    queries = load_tile(r + first * N, H * N, left, N, C, BN)
    keys = load_tile(k + first * N, H * N, left, N, C, BN)
    d_predict, d_read = tl.zeros([C, C], tl.float32), tl.zeros([C, C], tl.float32)
    for column in range(0, D, BD):
        here = first * D + column
        z = tl.trans(load_tile(errors + here, H * D, left, D - column, C, BD))
        d_predict += dot(load_tile(d_values + here, H * D, left, D - column, C, BD), z, PRECISION)
        d_read -= dot(load_tile(d_o + here, H * D, left, D - column, C, BD), z, PRECISION)
    d_predict = tl.where(t > s, d_predict * dot(keys, tl.trans(keys), PRECISION), 0.0)
    d_read = tl.where(t >= s, d_read * dot(queries, tl.trans(keys), PRECISION), 0.0)
    return d_predict, d_read


@triton.jit
def row_of_state(
    old, new, start_old, start_new, asked, seen, e, dy, d_phi, a_last, stride, left,
    ROW: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """What the gradients of state row ROW are made of.

    Args: old, new: A, X, D of Φ(t − 1, s) and Φ(t, s); start_old, start_new: the same from before the chunk;
        asked, seen: the rows of Φᵀc and Φᵀf; dy: the gradients of y's rows; a_last: the last row of A.
    Returns: row ROW of Φᵀc and Φᵀf; of the gradient of x_t(s) what comes through ȳ, and of that of the chunk's
        first state, column ROW, what comes through Φ̄; row ROW of x_{t−1}(s) and x_t(s); and of what column ROW
        of the first state became, before and after t.
    """
    t, s = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    (a_old, x_old, d_old), (a_new, x_new, d_new) = old, new
    (a_u, _, d_u), (a_w, _, d_w) = start_old, start_new
    e0 = scalars(e, stride * ROWS, left, 0, C)[None, :]
    if ROW == 0:
        grad_y = a_last[:, None] * dy[0][None, :]
        start = a_last * tl.load(d_phi)
        before, after, u, w = a_old * e0, a_new * e0, a_u, a_w
        if ROWS == 2:
            e1 = scalars(e + 1, stride * ROWS, left, 0, C)[None, :]
            before, after = a_old * (e0 + x_old * e1), a_new * (e0 + x_new * e1)
    else:
        e1 = scalars(e + 1, stride * ROWS, left, 0, C)[None, :]
        x_last = tl.sum(tl.where(t == C - 1, x_new, 0.0), 0)
        d_last = tl.sum(tl.where(t == C - 1, d_new, 0.0), 0)
        grad_y = (a_last * x_last)[:, None] * dy[0][None, :] + (a_last * d_last)[:, None] * dy[1][None, :]
        start = a_last * (x_last * tl.load(d_phi + 1) + d_last * tl.load(d_phi + 2))
        before, after, u, w = a_old * d_old * e1, a_new * d_new * e1, a_u * d_u, a_w * d_w
    asked, seen = tl.where(t > s, asked[ROW], 0.0), tl.where(t >= s, seen[ROW], 0.0)
    return asked, seen, grad_y, start, tl.where(t > s, before, 0.0), tl.where(t >= s, after, 0.0), u, w


@triton.jit(do_not_specialize=["tokens"])
def gates_back(
    r, k, log_alpha, log_gamma, drift, c, e, f, errors, d_o, d_values, d_reach, d_phi,
    d_log_alpha, d_log_gamma, d_drift, d_c, d_e, d_f, tokens, ROW: tl.constexpr,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One chunk of one head: what the coefficients' gradients owe to state row ROW.

    The gradient of log α is the sum over rows, of which the second is that of log γ: only the first is written.
    """
    first, left, at = place(tokens, H, C)
    t, s, i = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :], tl.arange(0, C)
    there = i < left
    exact: tl.constexpr = "tf32" if PRECISION == "bf16" else PRECISION  # of tables, which are not operands
    d_predict, d_read = table_gradients(r, k, errors, d_o, d_values, first, left, H, N, D, C, BN, BD, PRECISION)

    gates = log_alpha + first, log_gamma + first, drift + first
    c, e, f = c + first * ROWS, e + first * ROWS, f + first * ROWS
    d_c, d_e, d_f = d_c + first * ROWS, d_e + first * ROWS, d_f + first * ROWS
    d_reach, d_phi = d_reach + at * 3 * ROWS * C, d_phi + at * 3
    a_old, x_old, d_old, a_new, x_new, d_new = chunk_products(*gates, H, left, ROWS, C)
    a_u, x_u, d_u, a_w, x_w, d_w = start_products(*gates, H, left, ROWS, C)
    a_last = tl.sum(tl.where(t == C - 1, a_new, 0.0), 0)
    du0, dw0, dy0 = tl.load(d_reach + i), tl.load(d_reach + ROWS * C + i), tl.load(d_reach + 2 * ROWS * C + i)
    du1, dw1, dy1 = du0, dw0, dy0  # not read for one row
    if ROWS == 2:
        du1, dw1, dy1 = tl.load(d_reach + C + i), tl.load(d_reach + 3 * C + i), tl.load(d_reach + 5 * C + i)
    asked = folded(c, H, left, a_old, x_old, d_old, ROWS, C)
    seen = folded(f, H, left, a_new, x_new, d_new, ROWS, C)
    asked, seen, grad_y, start, before, after, u, w = row_of_state(
        (a_old, x_old, d_old), (a_new, x_new, d_new), (a_u, x_u, d_u), (a_w, x_w, d_w),
        asked, seen, e, (dy0, dy1), d_phi, a_last, H, left, ROW, ROWS, C,
    )  # fmt: skip
    grad = dot(tl.trans(seen), d_read, exact) + dot(tl.trans(asked), d_predict, exact) + grad_y

    tl.store(d_e + ROW + i * H * ROWS, tl.sum(tl.where(t == s, grad, 0.0), 0), mask=there)
    of_c, of_f = tl.sum(d_predict * before, 1), tl.sum(d_read * after, 1)
    of_alpha = tl.sum(tl.where(t > s, grad * after, 0.0), 1)
    if ROW == 0:
        start += tl.sum(seen * dw0[:, None] + asked * du0[:, None], 0)
        of_c, of_f, of_alpha = of_c + du0 * u, of_f + dw0 * w, of_alpha + start * w
        if ROWS == 2:
            # Column 1 of the first state, the momentum, reaches the position too.
            start = tl.sum(seen * dw1[:, None] + asked * du1[:, None], 0) + a_last * tl.load(d_phi + 1)
            of_c, of_f = of_c + du1 * a_u * x_u, of_f + dw1 * a_w * x_w
            of_alpha += start * a_w * x_w
            e1 = scalars(e + 1, H * ROWS, left, 0, C)[None, :]
            moved = tl.where(t > s, a_old * d_old * e1, 0.0)  # the momentum that the drift carries
            of_drift = tl.sum(grad * moved, 1) + start * a_u * d_u
            alpha = tl.exp(scalars(log_alpha + first, H, left, 0, C))
            tl.store(d_drift + first + i * H, alpha * of_drift, mask=there)
        tl.store(d_log_alpha + first + i * H, of_alpha, mask=there)
    else:
        start += tl.sum(seen * dw1[:, None] + asked * du1[:, None], 0)
        of_c, of_f = of_c + du1 * u, of_f + dw1 * w
        tl.store(d_log_gamma + first + i * H, of_alpha + start * w, mask=there)
    tl.store(d_c + ROW + i * H * ROWS, of_c, mask=there)
    tl.store(d_f + ROW + i * H * ROWS, of_f, mask=there)
