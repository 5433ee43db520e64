"""The backward kernels: outputs' share of the errors, the reverse state pass, operands; and all in order.

`gates.py` has that of the coefficients. `README.md` one folder up derives them; `chunk.py` there has the same
in torch, to debug against. What the forward pass did not keep (the tables M and O, KKᵀ, RKᵀ) is formed again.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.hamiltonian.triton.forward import Kept, Sizes, gate_pointers, read_table
from hmlcore.ops.hamiltonian.triton.gates import gates_back
from hmlcore.ops.hamiltonian.triton.tables import chunk_products, folded, place, written
from hmlcore.ops.triton_tiles import dot, load_tile, on_device, store_tile


@triton.jit(do_not_specialize=["tokens"])
def _outputs_back(
    r, k, log_alpha, log_gamma, drift, e, f, d_o, d_values, tokens,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One chunk of one head, BD columns: tril(O ∘ RKᵀ)ᵀ ō into `d_values`, which the reverse pass completes."""
    first, left, _ = place(tokens, H, C)
    column = tl.program_id(2) * BD
    wide = D - column
    _, mixed = read_table(r, k, log_alpha, log_gamma, drift, e, f, first, left, H, N, ROWS, C, BN, PRECISION)
    here = first * D + column
    seen = dot(tl.trans(mixed), load_tile(d_o + here, H * D, left, wide, C, BD), PRECISION)
    store_tile(d_values + here, seen, H * D, left, wide, C, BD)


@triton.jit(do_not_specialize=["tokens"])
def _pass_back(
    r, k, d_o, solve, reach, phi, d_final, d_values, ends, d_initial, tokens,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One head and BD columns, last chunk first: −Z̄ = tril(O ∘ RKᵀ)ᵀō + YS̄, V̄ = Tᵀ(−Z̄),
    S̄ ← ΦᵀS̄ + Wᵀō − UᵀV̄, with V̄ in the place of what `d_values` held."""
    head, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD
    chunks = tl.cdiv(tokens, C)
    wide = D - column
    start = (chunks - 1) * C  # of the last chunk
    token = (head // H * tokens + start) * H + head % H
    r, k, d_o, d_values = r + token * N, k + token * N, d_o + token * D + column, d_values + token * D + column
    last = head * chunks + chunks - 1
    solve, reach, phi = solve + last * C * C, reach + last * 3 * ROWS * C, phi + last * 3
    ends += last * ROWS * N * D + column
    d_final, d_initial = d_final + head * ROWS * N * D + column, d_initial + head * ROWS * N * D + column
    i = tl.arange(0, C)

    d_state0 = load_tile(d_final, D, N, wide, BN, BD)
    d_state1 = d_state0  # not read for one row
    if ROWS == 2:
        d_state1 = load_tile(d_final + N * D, D, N, wide, BN, BD)
    left = tokens - start
    for _ in range(chunks):
        keys, queries = load_tile(k, H * N, left, N, C, BN), load_tile(r, H * N, left, N, C, BN)
        store_tile(ends, d_state0, D, N, wide, BN, BD)
        d_error = load_tile(d_values, H * D, left, wide, C, BD).to(tl.float32)
        d_error += tl.load(reach + 2 * ROWS * C + i)[:, None] * dot(keys, d_state0, PRECISION)
        if ROWS == 2:
            store_tile(ends + N * D, d_state1, D, N, wide, BN, BD)
            d_error += tl.load(reach + 5 * C + i)[:, None] * dot(keys, d_state1, PRECISION)
        d_value = dot(tl.trans(load_tile(solve, C, C, C, C, C)), d_error, PRECISION)
        store_tile(d_values, d_value, H * D, left, wide, C, BD)
        d_out = load_tile(d_o, H * D, left, wide, C, BD).to(tl.float32)
        u0, w0 = tl.load(reach + i)[:, None], tl.load(reach + ROWS * C + i)[:, None]
        if ROWS == 2:
            u1, w1 = tl.load(reach + C + i)[:, None], tl.load(reach + 3 * C + i)[:, None]
            d_state1 = tl.load(phi + 1) * d_state0 + tl.load(phi + 2) * d_state1
            d_state1 += dot(tl.trans(queries), w1 * d_out, PRECISION)
            d_state1 -= dot(tl.trans(keys), u1 * d_value, PRECISION)
        d_state0 = tl.load(phi) * d_state0 + dot(tl.trans(queries), w0 * d_out, PRECISION)
        d_state0 -= dot(tl.trans(keys), u0 * d_value, PRECISION)
        left = C
        r, k, d_o, d_values = r - C * H * N, k - C * H * N, d_o - C * H * D, d_values - C * H * D
        solve, reach, phi, ends = solve - C * C, reach - 3 * ROWS * C, phi - 3, ends - ROWS * N * D
    store_tile(d_initial, d_state0, D, N, wide, BN, BD)
    if ROWS == 2:
        store_tile(d_initial + N * D, d_state1, D, N, wide, BN, BD)


@triton.jit
def weighted_back(part, weight, rows, d_rows, d_weight):
    """With `part` the gradient of weight ∘ rows, [C, BN]: what those of `rows` and of `weight` become."""
    return d_rows + weight * part, d_weight + tl.sum(part * rows, 1)


@triton.jit
def both_tables(log_alpha, log_gamma, drift, c, e, f, stride, left, ROWS: tl.constexpr, C: tl.constexpr):
    """M and O of a chunk, [C, C] each, from what stands behind the pointers."""
    a_old, x_old, d_old, a_new, x_new, d_new = chunk_products(
        log_alpha, log_gamma, drift, stride, left, ROWS, C
    )  # fmt: skip
    seen0, seen1 = folded(c, stride, left, a_old, x_old, d_old, ROWS, C)
    predict = written(seen0, seen1, e, stride, left, ROWS, C)
    seen0, seen1 = folded(f, stride, left, a_new, x_new, d_new, ROWS, C)
    return predict, written(seen0, seen1, e, stride, left, ROWS, C)


@triton.jit(do_not_specialize=["tokens"])
def _operands_back(
    r, k, log_alpha, log_gamma, drift, c, e, f, reach, states, errors, ends, d_o, d_values,
    d_r, d_k, d_reach, d_phi, tokens,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr, C: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One chunk of one head: the gradients of r and k, and of u, w, y and Φ."""
    first, left, at = place(tokens, H, C)
    t, s = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    i = tl.arange(0, C)
    queries = load_tile(r + first * N, H * N, left, N, C, BN)
    keys = load_tile(k + first * N, H * N, left, N, C, BN)
    wide_q, wide_k = queries.to(tl.float32), keys.to(tl.float32)
    reach, d_reach = reach + at * 3 * ROWS * C, d_reach + at * 3 * ROWS * C
    states, ends = states + at * ROWS * N * D, ends + at * ROWS * N * D
    d_system, d_mixed = tl.zeros([C, C], tl.float32), tl.zeros([C, C], tl.float32)
    d_keys, d_queries = tl.zeros([C, BN], tl.float32), tl.zeros([C, BN], tl.float32)

    for row in tl.static_range(ROWS):
        u, w = tl.load(reach + row * C + i)[:, None], tl.load(reach + (ROWS + row) * C + i)[:, None]
        y = tl.load(reach + (2 * ROWS + row) * C + i)[:, None]
        d_u, d_w, d_y = tl.zeros([C], tl.float32), tl.zeros([C], tl.float32), tl.zeros([C], tl.float32)
        phi_a, phi_x = 0.0, 0.0  # with state `row`: of Φ's (row, row) entry, and of its (1, 2) entry
        for column in range(0, D, BD):
            here = first * D + column
            z = load_tile(errors + here, H * D, left, D - column, C, BD)
            d_out = load_tile(d_o + here, H * D, left, D - column, C, BD)
            d_value = load_tile(d_values + here, H * D, left, D - column, C, BD)
            state = load_tile(states + row * N * D + column, D, N, D - column, BN, BD)
            end = load_tile(ends + row * N * D + column, D, N, D - column, BN, BD)
            if row == 0:
                d_system += dot(d_value, tl.trans(z), PRECISION)
                d_mixed -= dot(d_out, tl.trans(z), PRECISION)
            else:
                above = load_tile(ends + column, D, N, D - column, BN, BD)
                phi_x += tl.sum(tl.sum(above.to(tl.float32) * state.to(tl.float32), 1), 0)
            phi_a += tl.sum(tl.sum(end.to(tl.float32) * state.to(tl.float32), 1), 0)
            d_keys, d_u = weighted_back(-dot(d_value, tl.trans(state), PRECISION), u, wide_k, d_keys, d_u)
            d_keys, d_y = weighted_back(-dot(z, tl.trans(end), PRECISION), y, wide_k, d_keys, d_y)
            d_queries, d_w = weighted_back(dot(d_out, tl.trans(state), PRECISION), w, wide_q, d_queries, d_w)
        tl.store(d_reach + row * C + i, d_u)
        tl.store(d_reach + (ROWS + row) * C + i, d_w)
        tl.store(d_reach + (2 * ROWS + row) * C + i, d_y)
        tl.store(d_phi + at * 3 + 2 * row, phi_a)
        if row == 1:
            tl.store(d_phi + at * 3 + 1, phi_x)

    gates = log_alpha + first, log_gamma + first, drift + first
    predict, read = both_tables(*gates, c + first * ROWS, e + first * ROWS, f + first * ROWS, H, left, ROWS, C)
    d_system = tl.where(t > s, d_system * predict, 0.0)
    d_mixed = tl.where(t >= s, d_mixed * read, 0.0)
    d_keys += dot(d_system + tl.trans(d_system), keys, PRECISION) + dot(tl.trans(d_mixed), queries, PRECISION)
    d_queries += dot(d_mixed, keys, PRECISION)
    store_tile(d_k + first * N, d_keys, H * N, left, N, C, BN)
    store_tile(d_r + first * N, d_queries, H * N, left, N, C, BN)


def backward(
    r: Tensor, k: Tensor, x: Coefficients, kept: Kept, d_o: Tensor, d_final: Tensor, sizes: Sizes
) -> tuple[Tensor, Tensor, Tensor, Tensor, Coefficients]:
    """From the gradients of o [B, T, H, D] and of the last state: those of r, k, v, the first state and the
    coefficients. Arguments as :func:`forward.forward` took them and returned them; `d_o` in k's dtype."""
    tokens, (heads, chunks) = k.shape[1], kept.solve.shape[:2]
    d_values, ends, d_initial = torch.empty_like(d_o), torch.empty_like(kept.states), torch.empty_like(d_final)
    d_r, d_k = torch.empty_like(r), torch.empty_like(k)
    d_reach, d_phi = torch.empty_like(kept.reach), torch.empty_like(kept.phi)
    grads = x.map(torch.empty_like)
    gates, (c, e, f) = gate_pointers(x), x[3:]
    across = triton.cdiv(sizes.D, sizes.BD)
    with on_device(k):
        _outputs_back[heads, chunks, across](
            r, k, *gates, e, f, d_o, d_values, tokens, **sizes._asdict(), num_warps=4
        )  # fmt: skip
        _pass_back[heads, across](
            r, k, d_o, *kept[:3], d_final, d_values, ends, d_initial, tokens,
            **sizes._asdict(), num_warps=4, num_stages=2,
        )  # fmt: skip
        _operands_back[heads, chunks](
            r, k, *gates, c, e, f, kept.reach, kept.states, kept.errors, ends, d_o, d_values,
            d_r, d_k, d_reach, d_phi, tokens, **sizes._asdict(), num_warps=8,
        )  # fmt: skip
        for row in range(sizes.ROWS):
            gates_back[heads, chunks](
                r, k, *gates, c, e, f, kept.errors, d_o, d_values, d_reach, d_phi,
                *gate_pointers(grads), *grads[3:], tokens, row, **sizes._asdict(), num_warps=8,
            )  # fmt: skip
    if grads.log_gamma is not None:
        grads.log_alpha.add_(grads.log_gamma)
    return d_r, d_k, d_values, d_initial, grads
