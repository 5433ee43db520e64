"""The adding problem: by hand, and the sum of what is marked."""

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, build_task

_ = IGNORE


class Dealt:
    """A generator that deals the draws of one example and checks what they were asked from."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def integers(self, high, size):
        expected, draw = self.draws.pop(0)
        draw = np.array([draw])
        assert high == expected and draw.shape == size
        return draw


def test_by_hand():
    # five numbers: two in the first half, three in the second; 9 and 7 of 10 levels are marked
    dealt = Dealt((10, [3, 9, 0, 2, 7]), (2, [1]), (3, [2]))
    batch = build_task("adding", length=6, levels=10).generate(dealt, 1)
    assert batch.inputs.tolist() == [[3, 19, 0, 2, 17, 20]]
    assert batch.targets.tolist() == [[_, _, _, _, _, 16]]


@pytest.mark.parametrize(("length", "levels"), [(3, 2), (4, 5), (64, 100), (33, 10)])
def test_the_answer_is_the_sum_of_the_marked(length, levels):
    task = build_task("adding", length=length, levels=levels)
    assert task.vocab_size == 2 * levels + 1
    half = (length - 1) // 2
    batch = task.batch("validation", 0, 100, 0)
    for row, wanted in zip(*(tensor.tolist() for tensor in batch), strict=True):
        *numbers, last = row
        assert last == 2 * levels and max(numbers) < 2 * levels
        first, second = (t for t, token in enumerate(numbers) if token >= levels)
        assert first < half <= second
        assert wanted == [_] * (length - 1) + [numbers[first] + numbers[second] - 2 * levels]


def test_marks_and_levels_are_uniform():
    inputs, targets = build_task("adding", length=10, levels=4).batch("train", 0, 4000, 0)
    numbers = inputs[:, :-1].numpy()
    marks = (numbers >= 4).sum(0)
    expected = 4000 / np.array([4] * 4 + [5] * 5)
    assert (abs(marks - expected) < 5 * np.sqrt(expected)).all()
    levels = np.bincount(numbers.ravel() % 4, minlength=4)
    assert abs(levels - 9000).max() < 5 * np.sqrt(9000)
    # two uniform levels: the sum s has min(s + 1, 7 − s) ways out of 16
    sums = np.bincount(targets[:, -1].numpy(), minlength=7)
    expected = 250 * np.array([1, 2, 3, 4, 3, 2, 1])
    assert (abs(sums - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"length": 2}, "length must be at least 3, got 2"),
        ({"levels": 1}, "levels must be at least 2, got 1"),
        ({"levels": 9.5}, "levels must be an integer of at least 2, got 9.5"),
    ],
)
def test_refusals_name_the_knob(knobs, said):
    with pytest.raises(HmlcoreError, match=said):
        build_task("adding", **knobs)
