"""Word problems: the groups are groups, and the answers are their products."""

import itertools

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, build_task
from hmlcore.tasks.word_problem import GROUPS, multiplication


@pytest.mark.parametrize("group", GROUPS)
def test_tables_are_groups(group):
    table = multiplication(group)
    n = len(table)
    assert table.tolist()[0] == table[:, 0].tolist() == list(range(n))
    for a, b, c in itertools.product(range(n), repeat=3):
        assert table[table[a, b], c] == table[a, table[b, c]]
    assert all(sorted(row) == list(range(n)) for row in table.tolist())
    assert (table == table.T).all() == (group not in ("S3", "D4"))


def test_parity_and_sums_by_hand():
    class Dealt:
        def integers(self, high, size):
            return np.array([[1, 0, 1, 1, 2]]) % high

    batch = build_task("word_problem", group="Z3", length=5).generate(Dealt(), 1)
    assert batch.targets.tolist() == [[1, 1, 2, 0, 2]]
    batch = build_task("word_problem", group="Z2", length=5).generate(Dealt(), 1)
    assert batch.targets.tolist() == [[1, 1, 0, 1, 1]]


def square():
    """A square's symmetries from a quarter turn and a reflection, in lexicographic order."""
    turn, mirror, found = (1, 2, 3, 0), (0, 3, 2, 1), {(0, 1, 2, 3)}
    while True:
        more = {tuple(g[i] for i in p) for p in found for g in (turn, mirror)}
        if more <= found:
            return sorted(found)
        found |= more


@pytest.mark.parametrize(
    ("group", "elements"),
    [("S3", list(itertools.permutations(range(3)))), ("D4", square())],
    ids=["S3", "D4"],
)
def test_words_compose_permutations(group, elements):
    task = build_task("word_problem", group=group, length=9, scored=4)
    assert task.vocab_size == len(elements) == {"S3": 6, "D4": 8}[group]
    inputs, targets = task.batch("test", 0, 20, 0)
    for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
        now = elements[0]
        for t, x in enumerate(row):
            now = tuple(elements[x][i] for i in now)
            assert wanted[t] == (elements.index(now) if t >= 5 else IGNORE)


def test_d4_is_not_another_group_of_eight():
    """A quarter turn has order 4, and five elements have order 2: of the groups of eight only D4."""
    table = multiplication("D4")
    assert sorted((table[a, a] == 0) for a in range(8)).count(True) == 6  # with the identity


def test_no_answer_is_more_frequent_than_another():
    targets = build_task("word_problem", group="Z5", length=50).batch("train", 0, 400, 0).targets.numpy()
    counts = np.bincount(targets[:, -1], minlength=5)
    assert abs(counts - 80).max() < 5 * np.sqrt(80)


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"group": "Z4"}, "Z4"),
        ({"group": 3}, "unknown group 3; known: D4, S3, Z2"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"length": 4, "scored": 5}, "scored must be at most length=4, not 5"),
    ],
)
def test_refusals_name_the_knob(knobs, said):
    with pytest.raises(HmlcoreError, match=said):
        build_task("word_problem", **knobs)
