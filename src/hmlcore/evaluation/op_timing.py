"""What it takes to time one op: random tokens, a pass forward and backward, a decoded token, and floors.

Every candidate is given the same unit queries and keys of N channels and gates as an HML layer starts out
(β ≈ γ ≈ .12, α ≈ .999); ``op_candidates.py`` beside this file lists them.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.evaluation.speed import Pass, timed
from hmlcore.ops.backend import Obstacle, anywhere

Leaves = dict[str, Tensor]


class Sizes(NamedTuple):
    """H heads with keys of N channels."""

    heads: int
    n: int


@dataclass(frozen=True)
class Candidate:
    """One op.

    Attributes:
        name: as in results.
        gates: what it takes beside q, k and v, by name; see :func:`leaves`.
        apply: leaves over [B, T, ...] → o.
        step: the leaves of one token (T = 1) and the state → o.
        values: value channels, in units of N. rows: matrices of N × values·N that a head keeps.
        touches: multiply-adds that a token costs for every float of state, however it is computed: predict,
            write and read, or write and read alone. 0 for a cache.
        path, step_path: what runs, for the results; empty where the op's own choice is recorded.
        obstacle: device → why it cannot run there, or None.
    """

    name: str
    gates: tuple[str, ...]
    apply: Callable[[Leaves], Tensor]
    step: Callable[[Leaves, Tensor], Tensor]
    path: str = ""
    step_path: str = ""
    values: int = 1
    rows: int = 1
    touches: int = 3
    obstacle: Obstacle = anywhere

    @property
    def cached(self) -> bool:
        """Whether it keeps all tokens, as attention does."""
        return self.touches == 0

    def state_floats(self, sizes: Sizes, length: int) -> int:
        """Of one sequence of `length` tokens."""
        if self.cached:
            return 2 * length * sizes.heads * sizes.n
        return self.rows * sizes.heads * sizes.n * self.values * sizes.n

    def state_bytes(self, sizes: Sizes, length: int, dtype: torch.dtype) -> int:
        """Of the same: memories are fp32, a cache has the dtype of its keys and values."""
        return (dtype.itemsize if self.cached else 4) * self.state_floats(sizes, length)

    def step_flops(self, sizes: Sizes, length: int) -> float:
        """Of the token after `length` others, at the least: chunkwise forms do more, as matrix products."""
        if self.cached:  # scores and mixing
            return 2 * 2 * sizes.heads * sizes.n * (length + 1)
        return 2 * self.touches * self.state_floats(sizes, length)

    def flops_per_token(self, sizes: Sizes, length: int) -> float:
        """Of a forward pass over `length` tokens; attention sees half of them on average."""
        return self.step_flops(sizes, length) / (2 if self.cached else 1)


def leaves(
    candidate: Candidate, sizes: Sizes, batch: int, length: int, device: torch.device, dtype: torch.dtype
) -> Leaves:
    """Random tokens for `candidate`, the same for all of one size: q, k [B, T, H, N], v [B, T, H, values·N] in
    `dtype` (for a cache [B, H, T, ...]) and its gates in fp32; every tensor requires grad."""
    g = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    heads, n = sizes
    gate = (batch, length, heads)
    found = {
        "q": F.normalize(normal(*gate, n), dim=-1),
        "k": F.normalize(normal(*gate, n), dim=-1),
        "log_alpha": -0.05 * F.softplus(normal(*gate) - 4),
        "log_gamma": F.logsigmoid(normal(*gate) - 2),
        "beta": torch.sigmoid(normal(*gate) - 2),
        "eta": torch.ones(gate),
        "h": torch.ones(heads),
        "mu": torch.zeros(heads),
        "v": normal(*gate, candidate.values * n),
    }
    wanted = {name: found[name] for name in ("q", "k", "v", *candidate.gates)}
    if candidate.cached:
        wanted = {name: x.transpose(1, 2).contiguous() for name, x in wanted.items()}
    return {
        name: x.to(device, dtype if name in ("q", "k", "v") else torch.float32).requires_grad_()
        for name, x in wanted.items()
    }


def state_after(
    candidate: Candidate, sizes: Sizes, length: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """A state of random numbers as large as `length` tokens make it: S [1, H, rows, N, values·N] in fp32, or
    keys and values [2, 1, H, length + 1, N] in `dtype`, with room for one token."""
    g = torch.Generator().manual_seed(0)
    heads, n = sizes
    if not candidate.cached:
        shape = (1, heads, candidate.rows, n, candidate.values * n)
        return torch.randn(shape, generator=g).to(device)
    cache = torch.empty(2, 1, heads, length + 1, n, device=device, dtype=dtype)
    # One stretch over and over: drawing a million tokens takes longer than attending to them.
    stretch = torch.randn(2, 1, heads, min(length + 1, 4096), n, generator=g).to(device, dtype)
    for part in cache.split(stretch.shape[3], 3):
        part.copy_(stretch[:, :, :, : part.shape[3]])
    return cache


def train_pass(candidate: Candidate, x: Leaves) -> Pass:
    """Forward and backward: the gradient of a random projection of o with respect to every leaf."""
    v = x["v"]  # which o is like
    d_o = torch.randn(v.shape, generator=torch.Generator().manual_seed(1)).to(v.device, v.dtype)

    def run() -> None:
        torch.autograd.grad(candidate.apply(x), list(x.values()), d_o)

    return run


def decode_pass(candidate: Candidate, x: Leaves, state: Tensor, steps: int) -> Pass:
    """`steps` times the token `x` (leaves of one token) from `state`."""

    def run() -> None:
        with torch.no_grad():
            for _ in range(steps):
                candidate.step(x, state)

    return run


def warm_decoding(
    candidate: Candidate, x: Leaves, state: Tensor, most: int, seconds: float = 0.05
) -> tuple[Pass, int]:
    """A decoding that has run, and how many tokens it decodes: `most`, or as few as take `seconds`."""
    one = decode_pass(candidate, x, state, 1)
    one()
    steps = max(1, min(most, math.ceil(seconds / timed(one, state.device))))
    return decode_pass(candidate, x, state, steps), steps


def room_for_state(device: torch.device) -> float:
    """Bytes that one state may take: half of what a GPU has free, a quarter of a computer's memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] / 2
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return math.inf  # not POSIX: what does not fit raises MemoryError
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 4


def train_bytes(candidate: Candidate, x: Leaves) -> int:
    """Bytes that a training pass over `x` must move: operands are read on the way there and on the way back
    and their gradients written; the output is written, its gradient read."""
    v = x["v"]
    return 3 * sum(t.nbytes for t in x.values()) + 2 * v.nbytes


def decode_bytes(candidate: Candidate, x: Leaves, state: Tensor) -> int:
    """Bytes that a decoded token must move: its operands and output, and the state, which is read and written
    (of a cache it is read alone)."""
    return sum(t.nbytes for t in x.values()) + x["v"].nbytes + (1 if candidate.cached else 2) * state.nbytes
