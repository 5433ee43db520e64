"""The forward kernels: a chunk's triangular solve, the state pass from chunk to chunk, the outputs.

`README.md` one folder up derives the algebra and its names. What is kept for the gradient: T (the inverse),
the scalars u, w, y and Φ of every chunk, the state before every chunk, and the errors Z.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.hamiltonian.triton.tables import (
    chunk_products,
    folded,
    place,
    scalars,
    start_products,
    written,
)
from hmlcore.ops.triton_tiles import dot, load_tile, on_device, store_tile


class Sizes(NamedTuple):
    """Sizes that the kernels are compiled for, beside the number of tokens."""

    H: int
    N: int
    D: int
    ROWS: int
    C: int  # tokens in a chunk
    BN: int  # N and D, padded to what a dot takes
    BD: int  # columns of D at once
    PRECISION: str  # of dots: bf16 operands, or fp32


class Kept(NamedTuple):
    """Of every chunk, for the backward pass."""

    solve: Tensor  # T [B·H, n, C, C]
    reach: Tensor  # u, w, y [B·H, n, 3, p, C]
    phi: Tensor  # Φ's (1, 1), (1, 2) and (2, 2) entries [B·H, n, 3]
    states: Tensor  # before each chunk [B·H, n, p, N, D]
    errors: Tensor  # Z [B, T, H, D]


@triton.jit
def inverse(system, C: tl.constexpr):
    """(I + system)⁻¹ of a strictly lower triangular [C, C], by forward substitution in fp32.

    Diagonal blocks of 16 by elimination, all at once; then blocks twice as large from their halves,
    [[A, 0], [B, D]]⁻¹ = [[A⁻¹, 0], [−D⁻¹BA⁻¹, D⁻¹]].
    """
    t, s = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    solved = tl.where(t == s, 1.0, 0.0)
    block = tl.where(t // 16 == s // 16, system, 0.0)
    for j in range(16):
        column = tl.sum(tl.where(s % 16 == j, block, 0.0), 1)  # what row j of its block adds to each row
        row = tl.sum(tl.where(t % 16 == j, solved, 0.0), 0)
        solved -= tl.where(t // 16 == s // 16, column[:, None] * row[None, :], 0.0)
    for level in tl.static_range(4):
        half = 16 * 2**level
        if half < C:
            between = tl.where((t // half != s // half) & (t // (2 * half) == s // (2 * half)), system, 0.0)
            solved -= dot(dot(solved, between, "tf32x3"), solved, "tf32x3")
    return solved


@triton.jit(do_not_specialize=["tokens"])
def _prepare(
    k, log_alpha, log_gamma, drift, c, e, f, solve, reach, phi, tokens,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One chunk of one head: T, and how c and f see the chunk's first state (u, w) and e its last (y)."""
    first, left, at = place(tokens, H, C)
    t, s = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    i = tl.arange(0, C)
    gates = log_alpha + first, log_gamma + first, drift + first
    a_old, x_old, d_old, a_new, x_new, d_new = chunk_products(*gates, H, left, ROWS, C)
    c, e, f = c + first * ROWS, e + first * ROWS, f + first * ROWS

    keys = load_tile(k + first * N, H * N, left, N, C, BN)
    seen0, seen1 = folded(c, H, left, a_old, x_old, d_old, ROWS, C)
    predict = written(seen0, seen1, e, H, left, ROWS, C)
    solved = inverse(tl.where(t > s, predict * dot(keys, tl.trans(keys), PRECISION), 0.0), C)
    store_tile(solve + at * C * C, solved, C, C, C, C, C)

    # The table's last row carries what each token wrote to the chunk's last state.
    e0 = scalars(e, H * ROWS, left, 0, C)
    a_last = tl.sum(tl.where(t == C - 1, a_new, 0.0), 0)
    y0 = a_last * e0
    reach += at * 3 * ROWS * C
    if ROWS == 2:
        e1 = scalars(e + 1, H * ROWS, left, 0, C)
        y0 += a_last * tl.sum(tl.where(t == C - 1, x_new, 0.0), 0) * e1
        y1 = a_last * tl.sum(tl.where(t == C - 1, d_new, 0.0), 0) * e1
        tl.store(reach + 5 * C + i, y1)
    tl.store(reach + 2 * ROWS * C + i, y0)

    a_u, x_u, d_u, a_w, x_w, d_w = start_products(*gates, H, left, ROWS, C)
    c0, f0 = scalars(c, H * ROWS, left, 0, C), scalars(f, H * ROWS, left, 0, C)
    tl.store(reach + i, c0 * a_u)
    tl.store(reach + ROWS * C + i, f0 * a_w)
    phi += at * 3
    a_end = tl.sum(tl.where(i == C - 1, a_w, 0.0), 0)
    tl.store(phi, a_end)
    if ROWS == 2:
        c1, f1 = scalars(c + 1, H * ROWS, left, 0, C), scalars(f + 1, H * ROWS, left, 0, C)
        tl.store(reach + C + i, a_u * (c0 * x_u + c1 * d_u))
        tl.store(reach + 3 * C + i, a_w * (f0 * x_w + f1 * d_w))
        tl.store(phi + 1, a_end * tl.sum(tl.where(i == C - 1, x_w, 0.0), 0))
        tl.store(phi + 2, a_end * tl.sum(tl.where(i == C - 1, d_w, 0.0), 0))


@triton.jit(do_not_specialize=["tokens"])
def _pass(
    k, v, solve, reach, phi, initial, states, errors, final, tokens,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One head and BD columns of the state, chunk after chunk: Z = T(US − V), S ← ΦS − YᵀZ."""
    head, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD
    chunks = tl.cdiv(tokens, C)
    wide = D - column  # columns of the state that are there
    token = head // H * tokens * H + head % H
    k, v, errors = k + token * N, v + token * D + column, errors + token * D + column
    solve, reach, phi = (
        solve + head * chunks * C * C,
        reach + head * chunks * 3 * ROWS * C,
        phi + head * chunks * 3,
    )
    states += head * chunks * ROWS * N * D + column
    initial, final = initial + head * ROWS * N * D + column, final + head * ROWS * N * D + column
    i = tl.arange(0, C)

    state0 = load_tile(initial, D, N, wide, BN, BD)
    state1 = state0  # not read for one row
    if ROWS == 2:
        state1 = load_tile(initial + N * D, D, N, wide, BN, BD)
    left = tokens
    for _ in range(chunks):
        keys = load_tile(k, H * N, left, N, C, BN)
        store_tile(states, state0, D, N, wide, BN, BD)
        guess = tl.load(reach + i)[:, None] * dot(keys, state0, PRECISION)
        if ROWS == 2:
            store_tile(states + N * D, state1, D, N, wide, BN, BD)
            guess += tl.load(reach + C + i)[:, None] * dot(keys, state1, PRECISION)
        guess -= load_tile(v, H * D, left, wide, C, BD).to(tl.float32)
        z = dot(load_tile(solve, C, C, C, C, C), guess, PRECISION)
        store_tile(errors, z, H * D, left, wide, C, BD)
        y0 = tl.load(reach + 2 * ROWS * C + i)[:, None]
        state0 = tl.load(phi) * state0 - dot(tl.trans(keys), y0 * z, PRECISION)
        if ROWS == 2:
            y1 = tl.load(reach + 5 * C + i)[:, None]
            state0 += tl.load(phi + 1) * state1
            state1 = tl.load(phi + 2) * state1 - dot(tl.trans(keys), y1 * z, PRECISION)
        left -= C
        k, v, errors = k + C * H * N, v + C * H * D, errors + C * H * D
        solve, reach, phi, states = solve + C * C, reach + 3 * ROWS * C, phi + 3, states + ROWS * N * D
    store_tile(final, state0, D, N, wide, BN, BD)
    if ROWS == 2:
        store_tile(final + N * D, state1, D, N, wide, BN, BD)


@triton.jit
def read_table(r, k, log_alpha, log_gamma, drift, e, f, first, left,
               H: tl.constexpr, N: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr,
               BN: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """A chunk's queries [C, BN] and tril(O ∘ RKᵀ) [C, C]."""
    t, s = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    gates = log_alpha + first, log_gamma + first, drift + first
    _, _, _, a_new, x_new, d_new = chunk_products(*gates, H, left, ROWS, C)
    seen0, seen1 = folded(f + first * ROWS, H, left, a_new, x_new, d_new, ROWS, C)
    read = written(seen0, seen1, e + first * ROWS, H, left, ROWS, C)
    queries = load_tile(r + first * N, H * N, left, N, C, BN)
    keys = load_tile(k + first * N, H * N, left, N, C, BN)
    return queries, tl.where(t >= s, read * dot(queries, tl.trans(keys), PRECISION), 0.0)


@triton.jit(do_not_specialize=["tokens"])
def _outputs(
    r, k, log_alpha, log_gamma, drift, e, f, reach, states, errors, o, tokens,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One chunk of one head, BD columns: o = WS − tril(O ∘ RKᵀ)Z."""
    first, left, at = place(tokens, H, C)
    column = tl.program_id(2) * BD
    wide = D - column
    i = tl.arange(0, C)
    queries, mixed = read_table(
        r, k, log_alpha, log_gamma, drift, e, f, first, left, H, N, ROWS, C, BN, PRECISION
    )
    reach += at * 3 * ROWS * C + ROWS * C
    states += at * ROWS * N * D + column
    here = first * D + column
    out = -dot(mixed, load_tile(errors + here, H * D, left, wide, C, BD), PRECISION)
    state = load_tile(states, D, N, wide, BN, BD)
    out += tl.load(reach + i)[:, None] * dot(queries, state, PRECISION)
    if ROWS == 2:
        state = load_tile(states + N * D, D, N, wide, BN, BD)
        out += tl.load(reach + C + i)[:, None] * dot(queries, state, PRECISION)
    store_tile(o + here, out, H * D, left, wide, C, BD)


def forward(
    r: Tensor, k: Tensor, v: Tensor, state: Tensor, x: Coefficients, sizes: Sizes
) -> tuple[Tensor, Tensor, Kept]:
    """r, k [B, T, H, N], v [B, T, H, D] of one dtype, state [B, H, p, N, D] and gates in fp32, all contiguous.

    Returns: o like v, the last state, and what :func:`backward.backward` needs.
    """
    tokens, heads = v.shape[1], v.shape[0] * v.shape[2]
    chunks = triton.cdiv(tokens, sizes.C)
    kept = Kept(
        v.new_empty(heads, chunks, sizes.C, sizes.C),
        state.new_empty(heads, chunks, 3, sizes.ROWS, sizes.C),
        state.new_empty(heads, chunks, 3),
        v.new_empty(heads, chunks, *state.shape[2:]),
        torch.empty_like(v),
    )
    o, final = torch.empty_like(v), torch.empty_like(state)
    gates, (c, e, f) = gate_pointers(x), x[3:]
    across = triton.cdiv(sizes.D, sizes.BD)
    with on_device(v):
        _prepare[heads, chunks](
            k, *gates, c, e, f, *kept[:3], tokens, **sizes._asdict(), num_warps=4
        )  # fmt: skip
        _pass[heads, across](
            k, v, *kept[:3], state, *kept[3:], final, tokens, **sizes._asdict(), num_warps=4, num_stages=2
        )
        _outputs[heads, chunks, across](
            r, k, *gates, e, f, kept.reach, kept.states, kept.errors, o, tokens, **sizes._asdict(), num_warps=4
        )  # fmt: skip
    return o, final, kept


def gate_pointers(x: Coefficients) -> tuple[Tensor, Tensor, Tensor]:
    """log α, log γ and a; for one row, which has no γ and a, tensors that are not read."""
    log_alpha, log_gamma, drift = (x.log_alpha if gate is None else gate for gate in x[:3])
    return log_alpha, log_gamma, drift
