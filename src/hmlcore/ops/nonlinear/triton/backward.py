"""The backward kernel: states by inverting the step, cotangents beside them, one launch.

``segments.py`` says the same in torch. What a token's gradient sums over columns is written by each block of
columns for itself and added in torch: no two programs write to one place.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hmlcore.ops.nonlinear.triton.forward import Operands, Sizes
from hmlcore.ops.nonlinear.triton.step import (
    forces,
    free_step,
    free_step_back,
    network,
    store_vector,
    tanh,
    vector,
)
from hmlcore.ops.triton_tiles import dot, load_tile, on_device, store_tile


@triton.jit
def force_back(y, q, pull, push, weight, bias, out, NET: tl.constexpr, PRECISION: tl.constexpr):
    """For the force's cotangent y: that of q, of pull [BN] and push, and of W, b and out."""
    if NET:
        hidden = tanh(dot(weight, q, PRECISION) + bias[:, None])
        s = 1.0 - hidden * hidden
        seen = dot(weight, y, PRECISION)
        u = out[:, None] * s
        bent = -2.0 * push * u * hidden * seen
        d_q = pull[:, None] * y + dot(tl.trans(weight), bent, PRECISION)
        d_pull, d_push = tl.sum(y * q, 1), tl.sum(seen * u)
        d_weight = dot(push * u, tl.trans(y), PRECISION) + dot(bent, tl.trans(q), PRECISION)
        d_bias, d_out = tl.sum(bent, 1), tl.sum(push * seen * s, 1)
    else:
        t = tanh(q)
        d_q = pull[:, None] * (1.0 - t * t) * y
        d_pull, d_push = tl.sum(y * t, 1), 0.0
        d_weight, d_bias, d_out = weight, bias, out  # not read
    return d_q, d_pull, d_push, d_weight, d_bias, d_out


@triton.jit
def walk_again(
    x, net, start, scratch, at, column, count,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
    NET: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From the state at `start` over `count` tokens, the first at `at`: Q and P after the last; those before
    each of them go into `scratch`."""
    _, _, k, v, alpha, drift, pull, push = x
    wide, i = D - column, tl.arange(0, BD)
    q, p = load_tile(start, D, N, wide, BN, BD), load_tile(start + N * D, D, N, wide, BN, BD)
    for _ in range(count):
        store_tile(scratch, q, BD, BN, BD, BN, BD)
        store_tile(scratch + BN * BD, p, BD, BN, BD, BN, BD)
        move, stiff, hard = forces(drift, pull, push, at, N, BN, NET)
        q, _, p = free_step(q, p, move, stiff, hard, *net, NET, PRECISION)
        keep, key = tl.load(alpha + at), vector(k + at * N, N, BN)
        value = tl.load(v + at * D + column + i, mask=i < wide, other=0.0)
        q, p = keep * q, keep * p + key[:, None] * value[None, :]
        scratch, at = scratch + 2 * BN * BD, at + H
    return q, p


@triton.jit
def token_back(
    x, d_x, net, sums, q, p, g_q, g_p, d_o, at, put, column, invert, kept,
    N: tl.constexpr, D: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr,
    NET: tl.constexpr, PRECISION: tl.constexpr, SCRATCH: tl.constexpr,
):  # fmt: skip
    """Back over the token at `at`, whose gradients go to `put`.

    Args: x, d_x: pointers of r, r ∘ μ, βk, v, α, drift, pull and push, and of their gradients;  net, sums: W, b
        and out, and their gradients so far;  q, p, g_q, g_p: the state after the token and its cotangent;
        invert: whether the step is inverted, else the state before it is `kept`.
    Returns: the sums, and state and cotangent before the token.
    """
    r, r_p, k, v, alpha, drift, pull, push = x
    d_r, d_r_p, d_k, d_v, d_alpha, d_drift, d_pull, d_push = d_x
    i = tl.arange(0, BD)
    there = i < D - column
    move, stiff, hard = forces(drift, pull, push, at, N, BN, NET)
    keep, key = tl.load(alpha + at), vector(k + at * N, N, BN)
    value = tl.load(v + at * D + column + i, mask=there, other=0.0)[None, :]
    seen = tl.load(d_o + at * D + column + i, mask=there, other=0.0)[None, :]
    # What is read and written.
    store_vector(d_r + put * N, tl.sum(q * seen, 1), N, BN)
    store_vector(d_r_p + put * N, tl.sum(p * seen, 1), N, BN)
    g_q += vector(r + at * N, N, BN)[:, None] * seen
    g_p += vector(r_p + at * N, N, BN)[:, None] * seen
    store_vector(d_k + put * N, tl.sum(g_p * value, 1), N, BN)
    tl.store(d_v + at * D + column + i, tl.sum(g_p * key[:, None], 0), mask=there)
    # The state before the token, and in the middle of its step.
    q, p, q_mid, p_mid, p_moved = before_token(
        q, p, keep, key[:, None] * value, move, stiff, hard, net, invert, kept, BN, BD, NET, PRECISION, SCRATCH
    )  # fmt: skip
    # Back through forgetting, kick, drift and kick.
    tl.store(d_alpha + put, tl.sum(g_q * q_mid + g_p * p_moved))
    g_q, g_p = keep * g_q, keep * g_p
    bent, d_stiff, d_hard, d_w, d_b, d_u = force_back(-g_p, q_mid, stiff, hard, *net, NET, PRECISION)
    g_q += bent
    store_vector(d_drift + put * N, tl.sum(g_q * p_mid, 1), N, BN)
    g_p += move[:, None] * g_q
    bent, d_stiff0, d_hard0, d_w0, d_b0, d_u0 = force_back(-g_p, q, stiff, hard, *net, NET, PRECISION)
    g_q += bent
    store_vector(d_pull + put * N, d_stiff + d_stiff0, N, BN)
    if NET:
        tl.store(d_push + put, d_hard + d_hard0)
        sums = sums[0] + d_w + d_w0, sums[1] + d_b + d_b0, sums[2] + d_u + d_u0
    return sums, q, p, g_q, g_p


@triton.jit
def before_token(
    q, p, keep, written, move, stiff, hard, net, invert, kept,
    BN: tl.constexpr, BD: tl.constexpr, NET: tl.constexpr, PRECISION: tl.constexpr, SCRATCH: tl.constexpr,
):  # fmt: skip
    """Q and P before a token, from those after it or from what is `kept`; Q after its drift, P before that, and
    P after its second kick."""
    if SCRATCH:
        if invert == 0:
            q, p = load_tile(kept, BD, BN, BD, BN, BD), load_tile(kept + BN * BD, BD, BN, BD, BN, BD)
            q_mid, p_mid, p_moved = free_step(q, p, move, stiff, hard, *net, NET, PRECISION)
        else:
            q_mid, p_moved = q / keep, (p - written) / keep
            q, p, p_mid = free_step_back(q_mid, p_moved, move, stiff, hard, *net, NET, PRECISION)
    else:
        q_mid, p_moved = q / keep, (p - written) / keep
        q, p, p_mid = free_step_back(q_mid, p_moved, move, stiff, hard, *net, NET, PRECISION)
    return q, p, q_mid, p_mid, p_moved


@triton.jit(do_not_specialize=["tokens"])
def _backward(
    r, r_p, k, v, alpha, drift, pull, push, weight, bias, out, starts, final, flags, scratch, d_o, d_final,
    d_r, d_r_p, d_k, d_v, d_alpha, d_drift, d_pull, d_push, d_weight, d_bias, d_out, d_initial, tokens,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, M: tl.constexpr, S: tl.constexpr,
    BN: tl.constexpr, BM: tl.constexpr, BD: tl.constexpr, NET: tl.constexpr, PRECISION: tl.constexpr,
    SCRATCH: tl.constexpr,
):  # fmt: skip
    """One head and BD columns, last token first; `flags` say which segments are inverted."""
    head, block = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    column = block * BD
    wide = D - column
    first = head // H * tokens * H + head % H
    aside = block * (tl.num_programs(0) // H * tokens * H)  # this block's part of what is added up later
    segments = tl.cdiv(tokens, S)
    x, d_x = (r, r_p, k, v, alpha, drift, pull, push), (d_r, d_r_p, d_k, d_v, d_alpha, d_drift, d_pull, d_push)
    net = network(weight, bias, out, head % H, N, M, BN, BM, NET)
    sums = tl.zeros_like(net[0]), tl.zeros_like(net[1]), tl.zeros_like(net[2])
    starts += head * segments * 2 * N * D + column
    final, d_final = final + head * 2 * N * D + column, d_final + head * 2 * N * D + column
    d_initial += head * 2 * N * D + column
    scratch += (block * tl.num_programs(0) + head) * S * 2 * BN * BD
    q, p = load_tile(final, D, N, wide, BN, BD), load_tile(final + N * D, D, N, wide, BN, BD)
    g_q, g_p = load_tile(d_final, D, N, wide, BN, BD), load_tile(d_final + N * D, D, N, wide, BN, BD)
    for back in range(segments):
        segment = segments - 1 - back
        count = tl.minimum(S, tokens - segment * S)
        invert = 1
        if SCRATCH:
            invert = tl.load(flags + head * segments + segment)
            if invert == 0:
                start, at = starts + segment * 2 * N * D, first + segment * S * H
                q, p = walk_again(x, net, start, scratch, at, column, count, H, N, D, BN, BD, NET, PRECISION)
                # What one thread stored another may load.
                tl.debug_barrier()
        for j in range(count):
            here = count - 1 - j
            at, kept = first + (segment * S + here) * H, scratch + here * 2 * BN * BD
            sums, q, p, g_q, g_p = token_back(
                x, d_x, net, sums, q, p, g_q, g_p, d_o, at, aside + at, column, invert, kept,
                N, D, BN, BD, NET, PRECISION, SCRATCH,
            )  # fmt: skip
    store_tile(d_initial, g_q, D, N, wide, BN, BD)
    store_tile(d_initial + N * D, g_p, D, N, wide, BN, BD)
    if NET:
        put = block * tl.num_programs(0) + head
        store_tile(d_weight + put * M * N, sums[0], N, M, N, BM, BN)
        store_vector(d_bias + put * M, sums[1], M, BM)
        store_vector(d_out + put * M, sums[2], M, BM)


def backward(
    x: Operands, starts: Tensor, final: Tensor, steady: Tensor, d_o: Tensor, d_final: Tensor, sizes: Sizes
) -> tuple[Operands, Tensor]:
    """The gradients of the operands (of what is not there, a tensor to ignore) and of the first state.

    Args: starts as `forward` gave them; steady [B·H, segments], whether a segment is inverted.
    """
    heads, blocks = len(starts), triton.cdiv(sizes.D, sizes.BD)
    scratch = not bool(steady.all())
    kept = starts.new_empty(heads * blocks * sizes.S * 2 * sizes.BN * sizes.BD if scratch else 1)
    grads = Operands(
        *(torch.empty_like(y) if name == "v" else y.new_empty(blocks, *y.shape)
          for name, y in zip(Operands._fields[:8], x[:8], strict=True)),
        *(y.new_empty(blocks, heads, *y.shape[1:]) for y in x[8:]),
    )  # fmt: skip
    d_initial = torch.empty_like(final)
    with on_device(final):
        _backward[heads, blocks](
            *x, starts, final, steady.to(torch.int32).contiguous(), kept, d_o, d_final, *grads, d_initial,
            x.v.shape[1], **sizes._asdict(), SCRATCH=scratch, num_warps=sizes.warps,
        )  # fmt: skip
    added = (y if name == "v" else y.sum(0) for name, y in zip(Operands._fields, grads, strict=True))
    grads = Operands(*added)
    over_batch = (y.unflatten(0, (-1, sizes.H)).sum(0) for y in grads[8:])
    return Operands(*grads[:8], *over_batch), d_initial
