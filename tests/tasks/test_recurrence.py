"""Recurrences: by hand, and every rule that fits what was seen says the same next term."""

import itertools

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, build_task

_ = IGNORE


class Dealt:
    """A generator that deals its draws in order and notes between what they were asked for."""

    def __init__(self, *draws):
        self.draws = [np.array(draw) for draw in draws]
        self.asked = []

    def integers(self, *bounds, size):
        draw = self.draws.pop(0)
        assert draw.size == np.prod(size)
        self.asked.append(bounds)
        return draw


@pytest.mark.parametrize(
    ("scored", "targets"), [(0, [_, _, _, 3, 5, 1, 6]), (4, [_, _, _, 3, 5, 1, 6]), (2, [_] * 5 + [1, 6])]
)
def test_fibonacci_by_hand(scored, targets):
    task = build_task("recurrence", length=7, order=2, modulus=7, scored=scored)
    # 1, 1, 2, 3, 5, 8 = 1, 13 = 6 from 0, 1; the first draw of terms, all zeros, is not taken
    dealt = Dealt([[1, 5]], [1], [[0, 0]], [[0, 1]])
    batch = task.generate(dealt, 1)
    assert dealt.asked == [(7,), (1, 7), (7,), (7,)] and not dealt.draws
    assert batch.inputs.tolist() == [[0, 1, 1, 2, 3, 5, 1]]
    assert batch.targets.tolist() == [targets]


def test_the_first_coefficient_goes_with_the_newest_term():
    # x_t = 2·x_{t−1} + 0·x_{t−2} + 3·x_{t−3} mod 5 from 1, 0, 4
    dealt = Dealt([[2, 0, 0]], [3], [[1, 0, 4]])
    batch = build_task("recurrence", length=8, order=3, modulus=5).generate(dealt, 1)
    assert batch.inputs.tolist() == [[1, 0, 4, 1, 2, 1, 0, 1]]
    assert batch.targets.tolist() == [[_, _, _, _, _, 0, 1, 0]]


@pytest.mark.parametrize(("order", "modulus"), [(1, 2), (1, 7), (2, 3), (2, 5), (3, 2), (3, 3)])
def test_what_was_seen_determines_the_answer(order, modulus):
    k, several = order, 0
    task = build_task("recurrence", length=2 * k + 9, order=k, modulus=modulus)
    batch = task.batch("validation", 0, 40, 0)
    rules = list(itertools.product(range(modulus), repeat=k))
    for row, wanted in zip(*(tensor.tolist() for tensor in batch), strict=True):
        assert any(row[:k])
        assert wanted[: 2 * k - 1] == [_] * (2 * k - 1)
        assert wanted[2 * k - 1 : -1] == row[2 * k :]
        x = [*row, wanted[-1]]

        def says(rule, t, x=x):
            return sum(a * x[t - 1 - i] for i, a in enumerate(rule)) % modulus

        fits = [rule for rule in rules if all(says(rule, t) == x[t] for t in range(k, 2 * k))]
        assert any(rule[-1] for rule in fits)
        for rule in fits:
            assert all(says(rule, t) == x[t] for t in range(2 * k, len(x)))
        several += len(fits) > 1
    assert (several > 0) == (k > 1)


@pytest.mark.parametrize(("order", "modulus"), [(1, 3), (2, 2), (2, 5)])
def test_answers_stay_as_uniform_as_states(order, modulus):
    count = 4000
    targets = build_task("recurrence", length=40, order=order, modulus=modulus).batch("train", 0, count, 0)[1]
    counts = np.bincount(targets[:, -1].numpy(), minlength=modulus)
    states = modulus**order - 1
    expected = np.full(modulus, modulus ** (order - 1)) * count / states
    expected[0] -= count / states
    assert (abs(counts - expected) <= 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"order": 0}, "order must be at least 1, got 0"),
        ({"modulus": 1}, "modulus must be at least 2, got 1"),
        ({"modulus": 9}, "modulus must be a prime, not 9"),
        ({"modulus": 4}, "modulus must be a prime, not 4"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"length": 6, "order": 3}, "length must exceed 2·order = 6, not be 6"),
        ({"scored": True}, "scored must be an integer of at least 0, got True"),
        ({"length": 8, "scored": 6}, r"scored must be at most length − 2·order \+ 1 = 5, not 6"),
    ],
)
def test_refusals_name_the_knob(knobs, said):
    with pytest.raises(HmlcoreError, match=said):
        build_task("recurrence", **knobs)
