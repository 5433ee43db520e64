"""How sure a number is: intervals over seeds, over one fixed test set, and of paired differences.

The rule of the book: every seed is a dot. Fewer than five seeds get no interval, because a spread estimated
from so few is not to be trusted; from five on the interval is Student's t on the mean (a bootstrap would cover
too little). Accuracy on one fixed test set gets Wilson's interval. Two mixers are compared seed by seed.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from hmlcore.checks import check_int, check_number
from hmlcore.errors import HmlcoreError, require, shown

MIN_SEEDS = 5
"""Fewest seeds that get an interval."""


class Estimate(NamedTuple):
    """A mean and, where the seeds allow one, its interval.

    Attributes:
        mean: of the seeds; NaN if any seed diverged.
        low, high: bounds of the interval, None where there is none.
        n: number of seeds.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


class PairedDifference(NamedTuple):
    """First minus second, seed by seed.

    Attributes:
        seeds: those both have, sorted.
        differences: one a seed, in that order.
        estimate: their mean and interval.
    """

    seeds: tuple
    differences: tuple[float, ...]
    estimate: Estimate

    @property
    def sign(self) -> int:
        """−1 or 1 where the difference is told from 0: its interval lies on one side of 0, or where there is
        none, every seed has the sign. Else 0, also where a seed diverged."""
        low, high = self.estimate.low, self.estimate.high
        if low is None or high is None:
            low, high = min(self.differences), max(self.differences)
        if self.estimate.mean != self.estimate.mean:
            return 0
        return 1 if low > 0 else -1 if high < 0 else 0


def seed_interval(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean over seeds with its t-interval: mean ± t(n−1) · s / √n, where s divides by n − 1.

    There is no interval below :data:`MIN_SEEDS` seeds, nor where a seed diverged (NaN or infinite).

    Raises:
        HmlcoreError: no values, or a confidence outside (0, 1).
    """
    _check_confidence(confidence)
    try:
        x = np.asarray(values, dtype=float).ravel()
    except (TypeError, ValueError, OverflowError) as error:
        raise HmlcoreError(f"values must be numbers, got {shown(values)}") from error
    require(x.size > 0, "values is empty: a mean needs at least one seed")
    mean = float(x.mean())
    if x.size < MIN_SEEDS or not np.isfinite(x).all():
        return Estimate(mean, None, None, x.size)
    half = float(stdtrit(x.size - 1, (1 + confidence) / 2) * x.std(ddof=1) / np.sqrt(x.size))
    return Estimate(mean, mean - half, mean + half, x.size)


def wilson_interval(accuracy: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of an accuracy measured on `n` examples of one fixed test set.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), with z the normal quantile (Wilson 1927).
    It says how much the finite test set matters, and nothing about another seed. It takes the examples as
    independent: tokens of one sequence are not, so for token accuracy it is too narrow.

    Args:
        accuracy: fraction correct, between 0 and 1.
        n: number of examples, at least 1.
    """
    _check_confidence(confidence)
    accuracy, n = check_number("accuracy", accuracy, 0, 1), check_int("n", n)
    p, n, z = float(accuracy), int(n), float(ndtri((1 + confidence) / 2))
    center = p + z * z / (2 * n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, float(center - half) / scale), min(1.0, float(center + half) / scale)


def paired_difference(
    first: Mapping[Any, float], second: Mapping[Any, float], *, confidence: float = 0.95
) -> PairedDifference:
    """How much `first` exceeds `second`, compared on the seeds both have.

    A seed fixes the training data and their order for every mixer, so the difference within a seed is free of
    what those do to the score.

    Args:
        first, second: seed to value.

    Raises:
        HmlcoreError: no seed in common.
    """
    seeds = sorted(first.keys() & second.keys())
    require(bool(seeds), f"no seed in common: {sorted(first)} and {sorted(second)}")
    differences = tuple(float(first[seed]) - float(second[seed]) for seed in seeds)
    return PairedDifference(tuple(seeds), differences, seed_interval(differences, confidence))


def _check_confidence(confidence: float) -> None:
    check_number("confidence", confidence, 0, 1)
    require(0 < confidence < 1, f"confidence must be between 0 and 1, both excluded, got {confidence}")
