"""What both kernels of the nonlinear oscillators share: forces, steps, and how a token is addressed.

Importing this module imports Triton. A program has one head and BD columns of its state in registers, and
walks through time; a head's network stays in registers with it. Tensors over time are contiguous and fp32,
[B, T, H, ...]. Channels that are not there are loaded as zeros, which no force moves.
"""

import triton
import triton.language as tl

from hmlcore.ops.triton_tiles import dot


@triton.jit
def tanh(x):
    """To full relative precision: a series where 1 − e^(−2|x|) would cancel."""
    e = tl.exp(-2.0 * tl.abs(x))
    far = tl.where(x < 0, -1.0, 1.0) * (1.0 - e) / (1.0 + e)
    y = x * x
    near = x * (1.0 + y * (-0.33333333 + y * (0.13333333 + y * (-0.053968254 + y * 0.021869488))))
    return tl.where(y < 0.0625, near, far)


@triton.jit
def vector(pointer, size, SIZE: tl.constexpr):
    """[SIZE] numbers, zeros from `size` on."""
    i = tl.arange(0, SIZE)
    return tl.load(pointer + i, mask=i < size, other=0.0)


@triton.jit
def store_vector(pointer, x, size, SIZE: tl.constexpr):
    """The first `size` of them."""
    i = tl.arange(0, SIZE)
    tl.store(pointer + i, x, mask=i < size)


@triton.jit
def forces(drift, pull, push, at, N: tl.constexpr, BN: tl.constexpr, NET: tl.constexpr):
    """What drives the step of the token at `at`: drift and pull [BN], and push, 0 without a network."""
    hard = 0.0
    if NET:
        hard = tl.load(push + at)
    return vector(drift + at * N, N, BN), vector(pull + at * N, N, BN), hard


@triton.jit
def force(q, pull, push, weight, bias, out, NET: tl.constexpr, PRECISION: tl.constexpr):
    """pull ∘ tanh q, or pull ∘ q + push·Wᵀ(out ∘ sech²(Wq + b)), for q [BN, BD]."""
    if NET:
        hidden = tanh(dot(weight, q, PRECISION) + bias[:, None])
        u = out[:, None] * (1.0 - hidden * hidden)
        found = pull[:, None] * q + push * dot(tl.trans(weight), u, PRECISION)
    else:
        found = pull[:, None] * tanh(q)
    return found


@triton.jit
def free_step(q, p, drift, pull, push, weight, bias, out, NET: tl.constexpr, PRECISION: tl.constexpr):
    """Kick, drift, kick: Q after the drift, P before it, P after the second kick."""
    p_mid = p - force(q, pull, push, weight, bias, out, NET, PRECISION)
    q_mid = q + drift[:, None] * p_mid
    return q_mid, p_mid, p_mid - force(q_mid, pull, push, weight, bias, out, NET, PRECISION)


@triton.jit
def free_step_back(q_mid, p_moved, drift, pull, push, weight, bias, out,
                   NET: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """The inverse of :func:`free_step`: Q and P before the step, P before the drift."""
    p_mid = p_moved + force(q_mid, pull, push, weight, bias, out, NET, PRECISION)
    q = q_mid - drift[:, None] * p_mid
    return q, p_mid + force(q, pull, push, weight, bias, out, NET, PRECISION), p_mid


@triton.jit
def network(weight, bias, out, head, N: tl.constexpr, M: tl.constexpr,
            BN: tl.constexpr, BM: tl.constexpr, NET: tl.constexpr):  # fmt: skip
    """W [BM, BN], b and out [BM] of a head; without a network, tensors that are not read."""
    if NET:
        i, j = tl.arange(0, BM)[:, None], tl.arange(0, BN)[None, :]
        inside = (i < M) & (j < N)
        w = tl.load(weight + (head * M + i) * N + j, mask=inside, other=0.0)
        b, u = vector(bias + head * M, M, BM), vector(out + head * M, M, BM)
    else:
        w = tl.zeros([BM, BN], tl.float32)
        b = tl.zeros([BM], tl.float32)
        u = b
    return w, b, u
