"""Needles in haystacks: layout, depth, and every form of the question."""

import hashlib

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, SPLITS, build_task
from hmlcore.tasks.needle import RULER, ruler

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
    hay, found, at = row[: task.asked_at], {}, []
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
        assert wanted[: task.asked_at] == [IGNORE] * task.asked_at
        for q in range(task.queries):
            start = task.asked_at + q * block
            values = found[row[start + 1]]
            assert row[start : start + block] == [task.ask, row[start + 1], *values[:-1]]
            assert wanted[start : start + block] == [IGNORE, *values]
        assert len({row[task.asked_at + q * block + 1] for q in range(task.queries)}) == task.queries


def test_by_hand_at_both_ends():
    for depth, start in ((0.0, 0), (1.0, 4), (0.5, 2)):
        task = build_task("needle", length=9, depth=depth, values=2, fillers=2, keys=3, letters=2)
        assert (task.ask, task.vocab_size, task.asked_at) == (7, 8, 6)
        row = task.batch("train", 0, 1, 0).inputs[0].tolist()
        found, at = read(task, row)
        # 4 slots after shrinking the needle: 0, round(.5 · 3) = 2, 3
        assert at == [min(start, 3)] and len(found) == 1


def test_depth_is_that_of_the_needle_asked_first_among_others():
    task = build_task("needle", length=64, depth=0.25, needles=8)
    wanted = round(0.25 * (task.asked_at - 8 - 1))
    for row in task.batch("test", 0, 64, 0).inputs.tolist():
        found, at = read(task, row)
        place = list(found).index(row[task.asked_at + 1])
        assert at[place] == wanted + place  # each needle before it has grown by one value


def test_without_a_depth_needles_lie_everywhere():
    task = build_task("needle", length=16)
    inputs = task.batch("train", 0, 2000, 0).inputs.numpy()
    at = (inputs[:, : task.asked_at] >= task.fillers).argmax(1)
    counts = np.bincount(at, minlength=task.asked_at - 1)
    assert len(counts) == task.asked_at - 1 == 13
    assert abs(counts - 2000 / 13).max() < 5 * np.sqrt(2000 / 13)


def test_a_full_haystack_is_needles_only():
    task = build_task("needle", length=8, needles=3, queries=1)
    assert (task.batch("train", 0, 50, 0).inputs[:, :6] >= task.fillers).all()


@pytest.mark.parametrize(
    ("knobs", "digest"),
    [
        ({}, "a3d5bf430f8ff25d"),
        ({"length": 40, "depth": 0.3, "needles": 4, "values": 2, "queries": 2}, "daa06383c26a41f8"),
        ({"length": 4}, "e2b6b1541ebc0bc8"),
        ({"length": 128, "needles": 4, "depth": 1.0}, "1f4a5c1a574a6b1a"),
    ],
)
def test_what_stored_results_were_measured_on_is_still_drawn(knobs, digest):
    task, found = build_task("needle", **knobs), hashlib.sha256()
    for split in SPLITS:
        for tensor in task.batch(split, 1, 5, 3):
            found.update(tensor.numpy().astype("<i8").tobytes())
    assert found.hexdigest()[:16] == digest


def pieces(task, row):
    """Every block of the haystack in order: where it begins, its key, its values; and the filler tokens."""
    first_key, first_value = task.fillers, task.fillers + task.keys
    found, filler, t = [], [], 0
    while t < task.asked_at:
        if row[t] < first_key:
            filler.append(row[t])
            t += 1
            continue
        end = t + (2 if task.scattered else 1 + task.values)
        assert end <= task.asked_at and first_key <= row[t] < first_value
        assert all(first_value <= v < task.ask for v in row[t + 1 : end])
        found.append((t, row[t], row[t + 1 : end]))
        t = end
    return found, filler


def answers(task, row, key):
    return [value for _, k, values in pieces(task, row)[0] if k == key for value in values]


HAYSTACKS = [
    {"haystack": "noise"},
    {"haystack": "noise", "needles": 3, "values": 2, "queries": 2},
    {"haystack": "needles"},
    {"haystack": "needles", "needles": 3, "values": 4, "queries": 2},
    {"haystack": "needles", "needles": 2, "values": 3, "scattered": True, "length": 63},
    {"values": 4, "scattered": True},
    {"needles": 3, "values": 3, "queries": 3, "scattered": True, "haystack": "noise"},
    {"haystack": "needles", "length": 6},
]


@pytest.mark.parametrize("depth", [None, 0, 0.6, 1])
@pytest.mark.parametrize("knobs", [*HAYSTACKS, *RULER], ids=str)
def test_every_setting_is_answered_by_its_haystack(knobs, depth):
    task = ruler(knobs, 80, depth) if isinstance(knobs, str) else build_task("needle", depth=depth, **knobs)
    for row, wanted in zip(*(x.tolist() for x in task.batch("test", 0, 40, 0)), strict=True):
        blocks, filler = pieces(task, row)
        asked = []
        for start in range(task.asked_at, task.length, 1 + task.values):
            assert row[start] == task.ask
            values = answers(task, row, row[start + 1])
            assert len(values) == task.values
            assert row[start + 2 : start + 1 + task.values] == values[:-1]
            assert wanted[start : start + 1 + task.values] == [IGNORE, *values]
            asked.append(row[start + 1])
        assert len(set(asked)) == len(asked) == task.queries
        assert wanted[: task.asked_at] == [IGNORE] * task.asked_at
        own = task.needles * (task.values if task.scattered else 1)
        size = 2 if task.scattered else 1 + task.values
        if task.haystack == "needles":
            assert len(blocks) == task.asked_at // size > own and len(filler) < size
        else:
            assert len(blocks) == own
        if task.haystack == "noise":
            assert filler == [i % task.fillers for i in range(len(filler))]
        if depth in (0, 1):
            end = (task.asked_at - size) * depth
            assert [key for at, key, _ in blocks if at == end] == asked[:1]


def test_noise_by_hand():
    task = build_task("needle", length=9, haystack="noise", depth=0.5, fillers=3, keys=1, letters=2)
    row = task.batch("test", 0, 1, 0).inputs[0].tolist()
    # 6 slots after shrinking the needle; its own is round(.5 · 5) = 2, and the cycle goes on behind it.
    assert row[:2] + row[4:7] == [0, 1, 2, 0, 1]
    assert row[2] == 3 and row[3] in (4, 5) and row[7:] == [task.ask, 3]


def test_scattered_values_lie_everywhere_and_none_is_favoured():
    task = build_task("needle", length=17, values=4, scattered=True)  # 12 before the question: 8 slots
    assert task.asked_at == 12
    places = np.zeros(8)
    for row in task.batch("train", 0, 2000, 0).inputs.tolist():
        for before, (at, _, _) in enumerate(pieces(task, row)[0]):
            places[at - before] += 1
    assert places.sum() == 8000
    assert abs(places - 1000).max() < 5 * np.sqrt(2000 * 0.25)


def test_other_needles_draw_all_keys_but_the_asked_alike():
    task = build_task("needle", length=42, haystack="needles", keys=5)
    counts = np.zeros((5, 5))
    for row in task.batch("train", 0, 2000, 0).inputs.tolist():
        asked = row[-1] - task.fillers
        for _, key, _ in pieces(task, row)[0]:
            counts[asked, key - task.fillers] += 1
    rows = np.diag(counts)
    assert rows.sum() == 2000  # the asked key once an example
    off = counts[~np.eye(5, dtype=bool)].reshape(5, 4) / rows[:, None] / 19
    assert abs(off - 0.25).max() < 0.02


def test_rulers_settings_share_a_vocabulary_and_are_told_apart():
    tasks = [ruler(kind, 96, 0.5) for kind in RULER]
    assert len(RULER) == 8 and len({task.vocab_size for task in tasks}) == 1
    assert len({str(task.conditions()) for task in tasks}) == 8
    assert {(task.length, task.depth) for task in tasks} == {(96, 0.5)}


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"queries": 2}, "queries must be at most needles=1, not 2"),
        ({"needles": 17}, "needles must be at most keys=16, not 17"),
        ({"length": 3}, "at least 4, not 3"),
        ({"depth": 1.5}, "depth must be between 0 and 1, got 1.5"),
        ({"depth": True}, "depth must be between 0 and 1, got True"),
        ({"letters": 1}, "letters must be at least 2, got 1"),
        ({"haystack": "hay"}, "unknown haystack 'hay'; known: needles, noise, random"),
        ({"scattered": 1}, "scattered must be True or False, got 1"),
        (
            {"haystack": "needles", "needles": 2, "keys": 2},
            "keys must be more than needles=2 with haystack='needles', not 2",
        ),
        ({"haystack": "needles", "length": 5}, "1 needles and another .*: at least 6, not 5"),
        ({"values": 4, "scattered": True, "length": 12}, "at least 13, not 12"),
    ],
)
def test_refusals_name_the_knob(knobs, said):
    with pytest.raises(HmlcoreError, match=said):
        build_task("needle", **knobs)


def test_ruler_refuses_an_unknown_kind():
    with pytest.raises(HmlcoreError, match="unknown RULER kind 'multikey'; known: multikey_1, multikey_2"):
        ruler("multikey", 64)
