"""The protocol's tests, against scipy and by hand."""

import pytest
from scipy import stats

from hmlcore.studies.kit.paired import holm, p_above

FIRST = dict(enumerate([0.9, 0.8, 0.85, 0.95, 0.7]))
SECOND = dict(enumerate([0.7, 0.75, 0.8, 0.9, 0.75]))


@pytest.mark.parametrize("margin", [-0.02, 0.0, 0.1])
def test_one_sided_p_of_pairs(margin):
    shifted = [x - margin for x in FIRST.values()]
    wanted = stats.ttest_rel(shifted, list(SECOND.values()), alternative="greater").pvalue
    assert p_above(FIRST, SECOND, margin) == pytest.approx(wanted)


def test_nothing_is_decided_by_few_or_diverged_seeds():
    assert p_above({0: 1.0, 1: 1.0}, {0: 0.0, 1: 0.0}) == 1
    assert p_above(FIRST | {0: float("nan")}, SECOND) == 1


def test_equal_differences_fall_on_a_side():
    ones, halves = dict.fromkeys(range(5), 1.0), dict.fromkeys(range(5), 0.5)
    assert (p_above(ones, halves), p_above(halves, ones), p_above(ones, ones)) == (0, 1, 1)
    assert p_above(ones, ones, -0.02) == 0


def test_holm_by_hand():
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == {
        "d": pytest.approx(0.02),
        "a": pytest.approx(0.03),
        "c": pytest.approx(0.06),
        "b": pytest.approx(0.06),
    }
    assert holm({}) == {}
