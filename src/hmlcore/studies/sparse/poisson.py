"""The laws of slots that are written at random: how many cues are held, and how long a slot lasts."""

import math


def _poisson(count: int, mean: float) -> float:
    return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))


def held_by_law(load: float, ways: int) -> float:
    """The share of cues that find a slot where n = load · N · W of them fall into N buckets of W ways:
    E min(X, W) / E X with X of Poisson's law, of mean load · W."""
    mean = load * ways
    return (ways - sum((ways - x) * _poisson(x, mean) for x in range(ways))) / mean


def survival_by_law(delta: float, density: float, buckets: int, ways: int, oldest: bool) -> float:
    """The share of slots that are still there after `delta` tokens of which `density` are written: e^{−ρΔ/S}
    where a random way goes, and where the oldest does P(X < W) with X of Poisson's law, of mean ρΔ/N."""
    written = density * delta
    if not oldest:
        return math.exp(-written / (buckets * ways))
    return sum(_poisson(x, written / buckets) for x in range(ways))
