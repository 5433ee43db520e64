"""Needles in haystacks: layout, depth, and every form of the question."""

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, build_task

FORMS = [
    {},
    {"length": 4},
    {"needles": 4},
    {"needles": 3, "values": 4},
    {"needles": 4, "queries": 3},
    {"needles": 2, "values": 2, "queries": 2, "length": 12},
]


def read(task, row):
    """The needles of a row by key, in order of place, and where each begins."""
    first_key, first_value = task.fillers, task.fillers + task.keys
    hay, found, at = row[: task.haystack], {}, []
    t = 0
    while t < len(hay):
        if hay[t] >= first_key:
            assert first_key <= hay[t] < first_value
            values = hay[t + 1 : t + 1 + task.values]
            assert len(values) == task.values and all(first_value <= v < task.ask for v in values)
            assert hay[t] not in found
            found[hay[t]] = values
            at.append(t)
            t += 1 + task.values
        else:
            t += 1
    return found, at


@pytest.mark.parametrize("knobs", FORMS)
@pytest.mark.parametrize("depth", [None, 0, 0.3, 1.0])
def test_questions_are_answered_by_the_haystack(knobs, depth):
    task = build_task("needle", depth=depth, **knobs)
    inputs, targets = (x.tolist() for x in task.batch("test", 0, 40, 0))
    block = 1 + task.values
    for row, wanted in zip(inputs, targets, strict=True):
        found, _ = read(task, row)
        assert len(found) == task.needles
        assert wanted[: task.haystack] == [IGNORE] * task.haystack
        for q in range(task.queries):
            start = task.haystack + q * block
            values = found[row[start + 1]]
            assert row[start : start + block] == [task.ask, row[start + 1], *values[:-1]]
            assert wanted[start : start + block] == [IGNORE, *values]
        assert len({row[task.haystack + q * block + 1] for q in range(task.queries)}) == task.queries


def test_by_hand_at_both_ends():
    for depth, start in ((0.0, 0), (1.0, 4), (0.5, 2)):
        task = build_task("needle", length=9, depth=depth, values=2, fillers=2, keys=3, letters=2)
        assert (task.ask, task.vocab_size, task.haystack) == (7, 8, 6)
        row = task.batch("train", 0, 1, 0).inputs[0].tolist()
        found, at = read(task, row)
        # 4 slots after shrinking the needle: 0, round(.5 · 3) = 2, 3
        assert at == [min(start, 3)] and len(found) == 1


def test_depth_is_that_of_the_needle_asked_first_among_others():
    task = build_task("needle", length=64, depth=0.25, needles=8)
    wanted = round(0.25 * (task.haystack - 8 - 1))
    for row in task.batch("test", 0, 64, 0).inputs.tolist():
        found, at = read(task, row)
        place = list(found).index(row[task.haystack + 1])
        assert at[place] == wanted + place  # each needle before it has grown by one value


def test_without_a_depth_needles_lie_everywhere():
    task = build_task("needle", length=16)
    inputs = task.batch("train", 0, 2000, 0).inputs.numpy()
    at = (inputs[:, : task.haystack] >= task.fillers).argmax(1)
    counts = np.bincount(at, minlength=task.haystack - 1)
    assert len(counts) == task.haystack - 1 == 13
    assert abs(counts - 2000 / 13).max() < 5 * np.sqrt(2000 / 13)


def test_a_full_haystack_is_needles_only():
    task = build_task("needle", length=8, needles=3, queries=1)
    assert (task.batch("train", 0, 50, 0).inputs[:, :6] >= task.fillers).all()


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"queries": 2}, "queries must be at most needles=1, not 2"),
        ({"needles": 17}, "needles must be at most keys=16, not 17"),
        ({"length": 3}, "at least 4, not 3"),
        ({"depth": 1.5}, "depth must be None or between 0 and 1, not 1.5"),
        ({"depth": True}, "depth must be None or between 0 and 1, not True"),
        ({"letters": 1}, "letters must be an integer of at least 2, not 1"),
    ],
)
def test_refusals_name_the_knob(knobs, said):
    with pytest.raises(HmlcoreError, match=said):
        build_task("needle", **knobs)
