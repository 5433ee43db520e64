"""A density held: the threshold of a gate moves until as many tokens pass as are wanted."""

from typing import NamedTuple

import torch
from torch import Tensor

_GAIN = 0.5  # of a chunk
_MEMORY = 0.05  # what a chunk's own slope weighs


class Control(NamedTuple):
    """The threshold θ, how far scores change with density there, and whether any chunk was seen: [B]."""

    theta: Tensor
    slope: Tensor
    begun: Tensor


def held(score: Tensor, density: float, control: Control) -> tuple[Tensor, Control]:
    """Which of the scores [B, U] pass, and the threshold of the next chunk:

        open = score > θ,   θ ← θ + η s (ḡ − ρ)

    with ḡ the share that passed, ρ = `density` and s the slope of the scores' quantiles about 1 − ρ, followed
    over chunks, which makes one η right for scores of any spread. Summed over chunks, Σ(ḡ − ρ) = Δθ / (η s)
    stays bounded, so that in the long run the density is ρ whatever the scores are. The first chunk sets θ to
    its own quantile.
    """
    score = score.detach()
    low, at, high = (_top(score, part) for part in (min(1.0, 2 * density), density, density / 2))
    slope = ((high - low) / (min(1.0, 2 * density) - density / 2)).clamp_min(1e-6)
    begun = control.begun > 0
    theta = torch.where(begun, control.theta, at)
    slope = torch.where(begun, control.slope + _MEMORY * (slope - control.slope), slope)
    passed = score > theta[:, None]
    share = passed.to(score.dtype).mean(1)
    return passed, Control(theta + _GAIN * slope * (share - density), slope, torch.ones_like(slope))


def _top(score: Tensor, part: float) -> Tensor:
    """What that part of each row of scores [B, U] is above; torch has no quantile of no rows."""
    return score.quantile(max(0.0, 1 - part), dim=1) if len(score) else score[:, 0]
