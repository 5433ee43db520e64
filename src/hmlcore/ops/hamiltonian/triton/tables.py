"""What every kernel of the Hamiltonian memory shares: a chunk's scalars, and products of G inside it.

Importing this module imports Triton. Positions inside a chunk are t (rows of a table) and s (columns).
Tensors over time are contiguous [B, T, H, ...]; a kernel's first grid axis is b·H + h. Loads and stores past
the end of the sequence are masked: a token that is not there has log α = log γ = 0 and zeros elsewhere,
which leaves the state as it is.
"""

import triton
import triton.language as tl


@triton.jit
def place(tokens, H: tl.constexpr, C: tl.constexpr):
    """Of the program of one chunk of one head: the chunk's first token, of this head, in [B, T, H]; how many
    tokens are left from it on; and the chunk's number among those of all heads."""
    head, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    first = (head // H * tokens + chunk * C) * H + head % H
    return first, tokens - chunk * C, head * tl.num_programs(1) + chunk


@triton.jit
def scalars(pointer, stride, left, shift, C: tl.constexpr):
    """[C]: the scalars of tokens t − shift of a chunk of which `left` tokens are there, else zeros."""
    t = tl.arange(0, C) - shift
    return tl.load(pointer + t * stride, mask=(t >= 0) & (t < left), other=0.0)


@triton.jit
def products_before(t, s, la1, lg1, lg2, a1, ROWS: tl.constexpr):
    """A, X and D of Φ(t − 1, s) = A [[1, X], [0, D]]; the identity where t − 1 ≤ s.

    la1, lg1, a1 are log α, log γ and a of token t − 1, lg2 is log γ of token t − 2; all broadcast with t.
    Sums along t of what lies between s and t: no differences of prefix sums, so nothing cancels.
    """
    a_product = tl.exp(tl.cumsum(tl.where(t - 1 > s, la1, 0.0), 0))
    x, d = a_product, a_product  # not read for one row
    if ROWS == 2:
        d_earlier = tl.exp(tl.cumsum(tl.where(t - 2 > s, lg2, 0.0), 0))
        x = tl.cumsum(tl.where(t - 1 > s, a1 * d_earlier, 0.0), 0)
        d = d_earlier * tl.where(t - 1 > s, tl.exp(lg1), 1.0)
    return a_product, x, d


@triton.jit
def products_after(t, s, a_product, x, d, la, lg, a, ROWS: tl.constexpr):
    """A, X and D of Φ(t, s) from those of Φ(t − 1, s) and token t's log α, log γ and a."""
    a_next = a_product * tl.where(t > s, tl.exp(la), 1.0)
    x_next, d_next = a_next, a_next
    if ROWS == 2:
        x_next = x + tl.where(t > s, a * d, 0.0)
        d_next = d * tl.where(t > s, tl.exp(lg), 1.0)
    return a_next, x_next, d_next


@triton.jit
def chunk_products(log_alpha, log_gamma, drift, stride, left, ROWS: tl.constexpr, C: tl.constexpr):
    """A, X, D of Φ(t − 1, s) and of Φ(t, s), [C, C] each, for a chunk's gates behind the three pointers."""
    t, s = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    la, la1 = scalars(log_alpha, stride, left, 0, C), scalars(log_alpha, stride, left, 1, C)
    lg, lg1, lg2, a, a1 = la, la, la, la, la
    if ROWS == 2:
        lg, lg1 = scalars(log_gamma, stride, left, 0, C), scalars(log_gamma, stride, left, 1, C)
        lg2 = scalars(log_gamma, stride, left, 2, C)
        a, a1 = scalars(drift, stride, left, 0, C), scalars(drift, stride, left, 1, C)
    a_old, x_old, d_old = products_before(t, s, la1[:, None], lg1[:, None], lg2[:, None], a1[:, None], ROWS)
    a_new, x_new, d_new = products_after(t, s, a_old, x_old, d_old, la[:, None], lg[:, None], a[:, None], ROWS)
    return a_old, x_old, d_old, a_new, x_new, d_new


@triton.jit
def start_products(log_alpha, log_gamma, drift, stride, left, ROWS: tl.constexpr, C: tl.constexpr):
    """A, X, D of Φ(t − 1, start) and of Φ(t, start), [C] each: from before the chunk's first token."""
    t = tl.arange(0, C)
    la, la1 = scalars(log_alpha, stride, left, 0, C), scalars(log_alpha, stride, left, 1, C)
    lg, lg1, lg2, a, a1 = la, la, la, la, la
    if ROWS == 2:
        lg, lg1 = scalars(log_gamma, stride, left, 0, C), scalars(log_gamma, stride, left, 1, C)
        lg2 = scalars(log_gamma, stride, left, 2, C)
        a, a1 = scalars(drift, stride, left, 0, C), scalars(drift, stride, left, 1, C)
    # A token that is not there (t − 1 or t − 2 before the chunk) was loaded as zeros: it moves nothing.
    a_old, x_old, d_old = products_before(t, -1, la1, lg1, lg2, a1, ROWS)
    a_new, x_new, d_new = products_after(t, -1, a_old, x_old, d_old, la, lg, a, ROWS)
    return a_old, x_old, d_old, a_new, x_new, d_new


@triton.jit
def folded(g, stride, left, a_product, x, d, ROWS: tl.constexpr, C: tl.constexpr):
    """gᵀΦ, one [C, C] table per row of state, from token t's g behind the pointer."""
    g0 = scalars(g, stride * ROWS, left, 0, C)[:, None]
    first = g0 * a_product
    second = first  # not read for one row
    if ROWS == 2:
        g1 = scalars(g + 1, stride * ROWS, left, 0, C)[:, None]
        second = a_product * (g0 * x + g1 * d)
    return first, second


@triton.jit
def written(first, second, e, stride, left, ROWS: tl.constexpr, C: tl.constexpr):
    """gᵀΦ(t, s)e_s [C, C] from the tables of `folded`: M for g = c and Φ(t − 1, s), O for g = f and Φ(t, s)."""
    table = first * scalars(e, stride * ROWS, left, 0, C)[None, :]
    if ROWS == 2:
        table += second * scalars(e + 1, stride * ROWS, left, 0, C)[None, :]
    return table
