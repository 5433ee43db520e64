"""The forward kernel: one launch, the state in registers, a checkpoint every S tokens."""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from hmlcore.ops.nonlinear.triton.step import forces, free_step, network, vector
from hmlcore.ops.triton_tiles import load_tile, on_device, store_tile


class Sizes(NamedTuple):
    """What a kernel is compiled for; BN, BM and BD are the padded N and M, and the columns of a program."""

    H: int
    N: int
    D: int
    M: int
    S: int
    BN: int
    BM: int
    BD: int
    NET: bool
    PRECISION: str  # of the network's products

    @property
    def warps(self) -> int:
        """Of a program: eight numbers of a [BN, BD] tensor to a thread, while that is four warps at most."""
        return max(1, min(4, self.BN * self.BD // 256))


class Operands(NamedTuple):
    """fp32 and contiguous: what a token has, over [B, T, H, ...], and the network."""

    r: Tensor
    r_p: Tensor  # r ∘ μ
    k: Tensor  # times β
    v: Tensor
    alpha: Tensor
    drift: Tensor
    pull: Tensor
    push: Tensor  # like the network, a tensor that is not read where there is none
    weight: Tensor
    bias: Tensor
    out: Tensor


@triton.jit(do_not_specialize=["tokens"])
def _forward(
    r, r_p, k, v, alpha, drift, pull, push, weight, bias, out, initial, starts, o, final, tokens,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, M: tl.constexpr, S: tl.constexpr,
    BN: tl.constexpr, BM: tl.constexpr, BD: tl.constexpr, NET: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One head and BD columns of its state, token after token."""
    head, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD
    wide = D - column  # columns that are there
    at = head // H * tokens * H + head % H  # the token, of this head
    segments = tl.cdiv(tokens, S)
    w, b, u = network(weight, bias, out, head % H, N, M, BN, BM, NET)
    initial, final = initial + head * 2 * N * D + column, final + head * 2 * N * D + column
    starts += head * segments * 2 * N * D + column
    i = tl.arange(0, BD)
    q, p = load_tile(initial, D, N, wide, BN, BD), load_tile(initial + N * D, D, N, wide, BN, BD)
    left = tokens
    for _ in range(segments):
        store_tile(starts, q, D, N, wide, BN, BD)
        store_tile(starts + N * D, p, D, N, wide, BN, BD)
        for _ in range(tl.minimum(left, S)):
            move, stiff, hard = forces(drift, pull, push, at, N, BN, NET)
            q, _, p = free_step(q, p, move, stiff, hard, w, b, u, NET, PRECISION)
            keep = tl.load(alpha + at)
            value = tl.load(v + at * D + column + i, mask=i < wide, other=0.0)
            q = keep * q
            p = keep * p + vector(k + at * N, N, BN)[:, None] * value[None, :]
            seen = vector(r + at * N, N, BN)[:, None] * q + vector(r_p + at * N, N, BN)[:, None] * p
            tl.store(o + at * D + column + i, tl.sum(seen, 0), mask=i < wide)
            at += H
        left -= S
        starts += 2 * N * D
    store_tile(final, q, D, N, wide, BN, BD)
    store_tile(final + N * D, p, D, N, wide, BN, BD)


def forward(x: Operands, state: Tensor, sizes: Sizes) -> tuple[Tensor, Tensor, Tensor]:
    """Returns: o like v, the last state [B, H, 2, N, D], and every segment's first [B·H, segments, 2, N, D]."""
    tokens, heads = x.v.shape[1], state.shape[0] * sizes.H
    starts = state.new_empty(heads, triton.cdiv(tokens, sizes.S), *state.shape[2:])
    o, final = torch.empty_like(x.v), torch.empty_like(state)
    with on_device(state):
        _forward[heads, triton.cdiv(sizes.D, sizes.BD)](
            *x, state, starts, o, final, tokens, **sizes._asdict(), num_warps=sizes.warps
        )  # fmt: skip
    return o, final, starts
