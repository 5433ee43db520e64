"""Addition: by hand, and against whole numbers."""

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, build_task

_ = IGNORE


class Dealt:
    """A generator that deals the digits of 957 and 68, the least significant first."""

    def __init__(self):
        self.draws = [np.array([[7, 5, 9]]), np.array([[8, 6, 0]])]

    def integers(self, high, size):
        draw = self.draws.pop(0)
        assert high == 10 and draw.shape == size
        return draw


# 957 + 68 = 1025; PLUS is 10, EQUALS 11
@pytest.mark.parametrize(
    ("layout", "scored", "inputs", "targets"),
    [
        ("rows", 0, [7, 5, 9, 10, 8, 6, 0, 11, 5, 2, 0], [_, _, _, _, _, _, _, 5, 2, 0, 1]),
        ("rows", 3, [7, 5, 9, 10, 8, 6, 0, 11, 5, 2, 0], [_, _, _, _, _, _, _, _, 2, 0, 1]),
        ("columns", 0, [7, 8, 5, 6, 9, 0, 11], [_, 5, _, 2, _, 0, 1]),
        ("columns", 2, [7, 8, 5, 6, 9, 0, 11], [_, _, _, _, _, 0, 1]),
        ("columns", 1, [7, 8, 5, 6, 9, 0, 11], [_, _, _, _, _, _, 1]),
    ],
)
def test_by_hand(layout, scored, inputs, targets):
    task = build_task("addition", digits=3, layout=layout, scored=scored)
    batch = task.generate(Dealt(), 1)
    assert batch.inputs.tolist() == [inputs]
    assert batch.targets.tolist() == [targets]
    assert task.conditions() == {"digits": 3, "layout": layout, "length": len(inputs)}


def number(digits, base):
    assert all(0 <= d < base for d in digits)
    return sum(d * base**i for i, d in enumerate(digits))


@pytest.mark.parametrize("layout", ["rows", "columns"])
@pytest.mark.parametrize(("digits", "base"), [(1, 2), (4, 10), (9, 3), (40, 10)])
def test_the_answer_is_the_sum(layout, digits, base):
    task = build_task("addition", digits=digits, base=base, layout=layout)
    n, carries = digits, set()
    batch = task.batch("validation", 0, 60, 0)
    for row, wanted in zip(*(tensor.tolist() for tensor in batch), strict=True):
        if layout == "rows":
            a, b, c = row[:n], row[n + 1 : 2 * n + 1], wanted[2 * n + 1 :]
            assert (row[n], row[2 * n + 1]) == (base, base + 1)
            assert row[2 * n + 2 :] == c[:n]
        else:
            a, b, c = row[:-1:2], row[1::2], [*wanted[1::2], wanted[-1]]
            assert row[-1] == base + 1
        assert len(c) == n + 1 == sum(x != _ for x in wanted)
        assert number(a, base) + number(b, base) == number(c, base)
        carries.add(c[-1])
    assert carries == {0, 1}


def test_layouts_face_the_same_numbers():
    rows = build_task("addition", digits=5).batch("test", 0, 50, 0)
    columns = build_task("addition", digits=5, layout="columns").batch("test", 0, 50, 0)
    assert (rows.inputs[:, :5] == columns.inputs[:, :-1:2]).all()
    assert (rows.inputs[:, 6:11] == columns.inputs[:, 1::2]).all()


def test_answer_digits_are_uniform():
    targets = build_task("addition", digits=3).batch("train", 0, 4000, 0).targets[:, 7:].numpy()
    for i in range(3):
        counts = np.bincount(targets[:, i], minlength=10)
        assert abs(counts - 400).max() < 5 * np.sqrt(400)
    # a carry out of n digits: a + b >= base^n, with probability (1 − base^−n)/2
    assert abs(targets[:, 3].sum() - 2000 * (1 - 1e-3)) < 5 * np.sqrt(1000)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"digits": 0}, "digits must be at least 1, got 0"),
        ({"base": 1}, "base must be at least 2, got 1"),
        ({"layout": "stairs"}, "unknown layout 'stairs'; known: columns, rows"),
        ({"layout": ["rows"]}, r"unknown layout \['rows'\]; known: columns, rows"),
        ({"scored": -1}, "scored must be at least 0, got -1"),
        ({"digits": 3, "scored": 5}, r"scored must be at most digits \+ 1 = 4, not 5"),
    ],
)
def test_refusals_name_the_knob(knobs, said):
    with pytest.raises(HmlcoreError, match=said):
        build_task("addition", **knobs)
