"""The protocol's tests: pairs of seeds, a margin, and Holm's correction over everything that is compared."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from scipy.special import stdtr

from hmlcore.results.statistics import MIN_SEEDS, paired_difference

Key = TypeVar("Key")
LEVEL = 0.05


def p_above(first: Mapping[Any, float], second: Mapping[Any, float], margin: float = 0.0) -> float:
    """One-sided p of "first − second is at most `margin`", by the paired t-test over the seeds both have.

    Below :data:`MIN_SEEDS` seeds, or where one diverged, 1: nothing is decided. Equal differences in all seeds
    have no spread to be tested against: then 0 or 1, by their side of the margin.
    Raises: HmlcoreError without a seed in common.
    """
    x = np.asarray(paired_difference(first, second).differences) - margin
    if x.size < MIN_SEEDS or not np.isfinite(x).all():
        return 1.0
    spread = float(x.std(ddof=1))
    if spread == 0:
        return 0.0 if x.mean() > 0 else 1.0
    return float(stdtr(x.size - 1, -x.mean() / spread * np.sqrt(x.size)))


def holm(p: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's adjusted p of several comparisons: the k-th smallest of n times n − k + 1, never falling.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    adjusted, highest = {}, 0.0
    # Each key is there. Otherwise written, every rule that names this would count as a younger one.
    for rank, key in enumerate(sorted(p, key=p.get)):  # pyright: ignore[reportCallIssue, reportArgumentType]
        highest = max(highest, min(1.0, (len(p) - rank) * p[key]))
        adjusted[key] = highest
    return adjusted
