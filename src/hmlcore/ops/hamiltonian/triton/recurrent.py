"""The recurrent kernel: the law itself, a token at a time, for decoding. Forward only.

A program holds all N rows and BD columns of one head's state in registers, and every column goes its own way:
kᵀS sums over rows. A token reads the state once and writes it once, which is what decoding costs; the torch
step passes over it nine times or more.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from hmlcore.ops.hamiltonian.dynamics import Coefficients
from hmlcore.ops.hamiltonian.triton.forward import gate_pointers
from hmlcore.ops.triton_tiles import load_tile, on_device, store_tile


@triton.jit
def scalar(pointer, at):
    """One number, in fp32."""
    return tl.load(pointer + at).to(tl.float32)


@triton.jit(do_not_specialize=["tokens"])
def _recur(
    r, k, v, log_alpha, log_gamma, drift, c, e, f, state, o, final, tokens,
    H: tl.constexpr, N: tl.constexpr, D: tl.constexpr, ROWS: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """One head and BD columns: z = cᵀ(kᵀS) − v;  S ← (G ⊗ I)S − e ⊗ k zᵀ;  o = fᵀ(rᵀS), token by token."""
    head, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BD
    wide = D - column
    n, d = tl.arange(0, BN), tl.arange(0, BD)
    state += head * ROWS * N * D + column
    final += head * ROWS * N * D + column
    position = load_tile(state, D, N, wide, BN, BD).to(tl.float32)
    momentum = position  # not read for one row
    if ROWS == 2:
        momentum = load_tile(state + N * D, D, N, wide, BN, BD).to(tl.float32)
    at = head // H * tokens * H + head % H  # the first token, of this head
    for _ in range(tokens):
        key = tl.load(k + at * N + n, mask=n < N, other=0.0).to(tl.float32)[:, None]
        query = tl.load(r + at * N + n, mask=n < N, other=0.0).to(tl.float32)[:, None]
        z = scalar(c, at * ROWS) * tl.sum(key * position, 0)
        if ROWS == 2:
            z += scalar(c, at * 2 + 1) * tl.sum(key * momentum, 0)
        z -= tl.load(v + at * D + column + d, mask=d < wide, other=0.0).to(tl.float32)
        written = key * z[None, :]
        alpha = tl.exp(scalar(log_alpha, at))
        if ROWS == 2:
            position += scalar(drift, at) * momentum
            momentum = alpha * tl.exp(scalar(log_gamma, at)) * momentum - scalar(e, at * 2 + 1) * written
        position = alpha * position - scalar(e, at * ROWS) * written
        out = scalar(f, at * ROWS) * tl.sum(query * position, 0)
        if ROWS == 2:
            out += scalar(f, at * 2 + 1) * tl.sum(query * momentum, 0)
        tl.store(o + at * D + column + d, out.to(o.dtype.element_ty), mask=d < wide)
        at += H
    store_tile(final, position, D, N, wide, BN, BD)
    if ROWS == 2:
        store_tile(final + N * D, momentum, D, N, wide, BN, BD)


def block(n: int, d: int, rows: int) -> tuple[int, int]:
    """BN and BD: N padded to a power of two, and as many columns as keep a program's state near 32 KB."""
    padded = triton.next_power_of_2(n)
    columns = max(1, 8192 // (rows * padded))
    return padded, min(triton.next_power_of_2(d), columns, 64)


def recurrent(r: Tensor, k: Tensor, v: Tensor, x: Coefficients, state: Tensor) -> tuple[Tensor, Tensor]:
    """A few tokens, from `state` [B, H, p, N, D], which is left as it is.

    Args: r, k [B, T, H, N], v [B, T, H, D] and coefficients over [B, T, H], narrower than fp32 or fp32; all
        contiguous, of shapes that are right and on one device: nothing is checked here.
    Returns: o like v, and the last state in fp32.
    """
    (batch, tokens, heads, n), d, rows = k.shape, v.shape[-1], x.rows
    o, final = torch.empty_like(v), torch.empty(state.shape, dtype=torch.float32, device=state.device)
    rows_block, columns = block(n, d, rows)
    with on_device(v):
        _recur[batch * heads, triton.cdiv(d, columns)](
            r, k, v, *gate_pointers(x), *x[3:], state, o, final, tokens,
            H=heads, N=n, D=d, ROWS=rows, BN=rows_block, BD=columns, num_warps=4,
        )  # fmt: skip
    return o, final
