"""Angles counted in turns: added up exactly over a sequence, and pairs of channels turned by them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops.oscillator import multiply_pairs

START = 0.01  # turns a token that a phase begins with, standard deviation
FASTEST = 0.5  # the same of the fastest of several: one that starts slow never finds the half turn


def spread(count: int, slowest: float = START, fastest: float = FASTEST) -> list[float]:
    """`count` scales, in turns a token, in equal ratios from `slowest` to `fastest`; of one, the slowest."""
    return [slowest * (fastest / slowest) ** (i / max(1, count - 1)) for i in range(count)]


def wrap(turns: Tensor, period: Tensor | float = 1.0) -> Tensor:
    """The same angle within half a period of zero; exact, and of derivative 1."""
    return turns - period * (turns.detach() / period).round()


def cumulative_turns(turns: Tensor, start: Tensor, lattice: Tensor | None = None) -> Tensor:
    """start + Σ_{s≤t} turns_s modulo 1, over [B, T, ...], start [B, ...].

    Angles are counted in turns because a whole turn is then exact: 2π is not a floating-point number, and
    its rounding, 1.7e-7 at every wrap, is what a phase in radians is worth after 10,000 turns. Sums are
    formed in log₂ T passes over a binary tree and wrapped at each: no sum ever exceeds one turn.

    With a `lattice` of integers L > 0, [...] or one for all, every turn and the start are rounded to Lths of a
    turn, and their numbers are added: the sum is exact for any T. Where L = 0, and without, nothing is rounded.
    """
    period = 1.0
    if lattice is not None:  # without a branch on its value, which would wait for a GPU
        period = lattice.clamp(min=1).to(turns.dtype)
        turns, start = (torch.where(lattice > 0, (x * period).round(), x) for x in (turns, start))
    total, reach = wrap(turns, period), 1
    while reach < turns.shape[1]:
        before = F.pad(total[:, :-reach], (0, 0) * (turns.ndim - 2) + (reach, 0))
        total, reach = wrap(total + before, period), 2 * reach
    return wrap(start[:, None] + total, period) / period


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Every pair of neighbouring channels (q, p) of x [..., D], as q + ip, times e^{2πi·turns} [...]."""
    angle = 2 * torch.pi * turns
    return multiply_pairs(angle.cos(), angle.sin(), x)


def rotate_last(x: Tensor, turns: Tensor) -> Tensor:
    """:func:`rotate` for the last R of the heads of x [B, T, H, D], turns [B, T, R]; x keeps its dtype."""
    still, turning = x.split((x.shape[2] - turns.shape[2], turns.shape[2]), 2)
    return torch.cat((still, rotate(turning.to(turns.dtype), turns).to(x.dtype)), 2)
