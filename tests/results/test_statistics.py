"""Intervals against values worked out by hand."""

import math

import pytest
from scipy import stats

from hmlcore.errors import HmlcoreError
from hmlcore.results.statistics import (
    Estimate,
    paired_difference,
    seed_interval,
    wilson_interval,
)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_fewer_than_five_seeds_have_no_interval(n):
    assert seed_interval([0.5] * (n - 1) + [1.0]) == Estimate((0.5 * (n - 1) + 1.0) / n, None, None, n)


def test_t_interval_of_five_seeds():
    # mean 3, s = sqrt(10 / 4), t(4, .975) = 2.776445 from the printed table
    got = seed_interval([1, 2, 3, 4, 5])
    half = 2.776445 * math.sqrt(2.5) / math.sqrt(5)
    assert got.mean == 3 and got.n == 5
    assert got.low == pytest.approx(3 - half, abs=1e-5) and got.high == pytest.approx(3 + half, abs=1e-5)


def test_t_interval_at_another_confidence():
    # t(8, .95) = 1.859548; mean 0, sum of squares 60, s = sqrt(60 / 8)
    got = seed_interval([-4, -3, -2, -1, 0, 1, 2, 3, 4], confidence=0.9)
    assert got.high == pytest.approx(1.859548 * math.sqrt(60 / 8) / 3, abs=1e-5)
    assert got.low == -got.high


def test_equal_seeds_have_an_interval_of_no_width():
    assert seed_interval([0.25] * 5) == Estimate(0.25, 0.25, 0.25, 5)


def test_diverged_seed_leaves_no_interval():
    got = seed_interval([1.0, 2.0, float("nan"), 3.0, 4.0])
    assert math.isnan(got.mean) and got.low is None and got.n == 5


def test_wilson_by_hand():
    # centre (p + z²/2n) / (1 + z²/n), half width z sqrt(p(1-p)/n + z²/4n²) / (1 + z²/n), z = 1.959964
    p, n, z2 = 0.8, 10, 1.959964**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low, high = wilson_interval(p, n)
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (1, 3), (256, 512), (511, 512), (7, 7)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_is_scipys(successes, n, confidence):
    expected = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson_interval(successes / n, n, confidence) == pytest.approx(tuple(expected), abs=1e-12)


def test_wilson_at_the_ends_stays_inside():
    assert wilson_interval(1.0, 512) == pytest.approx((512 / (512 + 1.959964**2), 1.0), abs=1e-6)
    assert wilson_interval(0.0, 512)[0] == pytest.approx(0.0, abs=1e-12)


def test_paired_difference_uses_shared_seeds():
    got = paired_difference({0: 0.9, 1: 0.5, 2: 0.7, 7: 0.0}, {1: 0.4, 0: 0.6, 2: 0.8, 9: 1.0})
    assert got.seeds == (0, 1, 2)
    assert got.differences == pytest.approx((0.3, 0.1, -0.1))
    assert got.estimate.mean == pytest.approx(0.1) and got.estimate.low is None


def test_pairing_removes_what_the_seed_does():
    hard = {0: 0.0, 1: 10.0, 2: 20.0, 3: 30.0, 4: 40.0}
    better = {seed: value + 1 + 0.01 * seed for seed, value in hard.items()}
    paired = paired_difference(better, hard).estimate
    assert paired.low > 0.9 and paired.high < 1.1
    assert seed_interval(list(better.values())).low < hard[1]  # unpaired, the seeds' spread swamps it


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: seed_interval([]), "values is empty"),
        (lambda: seed_interval([1, 2], confidence=95), "confidence must be between 0 and 1, got 95"),
        (lambda: wilson_interval(1.2, 10), "accuracy must be between 0 and 1, got 1.2"),
        (lambda: wilson_interval(float("nan"), 10), "accuracy"),
        (lambda: wilson_interval(0.5, 0), "n must be at least 1, got 0"),
        (lambda: paired_difference({0: 1.0}, {1: 1.0}), "no seed in common"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(HmlcoreError, match=message):
        call()


@pytest.mark.parametrize(
    ("differences", "sign"),
    [
        ([0.1, 0.2, 0.3], 1),
        ([-0.1, -0.2, -0.3], -1),
        ([0.1, 0.2, -0.01], 0),
        ([0.1, 0.2, 0.0], 0),
        ([0.1, 0.2, math.nan], 0),
        ([1.0, 1.1, 0.9, 1.05, -0.01], 1),  # five seeds: the interval decides, not the one that disagrees
        ([1.0, -0.9, 0.8, -0.7, 0.6], 0),
    ],
)
def test_a_difference_has_a_sign_where_it_is_told_from_zero(differences, sign):
    first = dict(enumerate(differences))
    assert paired_difference(first, dict.fromkeys(first, 0.0)).sign == sign
