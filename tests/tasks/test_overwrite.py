"""Overwrite recall: by hand, and against a dictionary."""

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, build_task
from hmlcore.tasks import overwrite as module

_ = IGNORE


class Dealt:
    """A generator that deals the draws of one example."""

    def __init__(self, *draws):
        self.draws = [np.array([draw]) for draw in draws]

    def integers(self, *_, size):
        draw = self.draws.pop(0)
        assert draw.shape == size
        return draw

    def permuted(self, given, axis):
        draw = self.draws.pop(0)
        assert axis == 1 and sorted(draw[0]) == sorted(given[0])
        return draw


def test_by_hand(monkeypatch):
    monkeypatch.setattr(module, "sample_without_replacement", lambda *ignored: np.array([[2, 0]]))
    task = build_task("overwrite", keys=2, writes=3, vocab=8)
    # keys 3 and 1; the extra write goes to key 0; writes in the order 0, 1, 0; values; queries 1, 0
    batch = task.generate(Dealt([0], [0, 1, 0], [5, 4, 7], [1, 0]), 1)
    assert batch.inputs.tolist() == [[3, 5, 1, 4, 3, 7, 1, 3]]
    assert batch.targets.tolist() == [[_, _, _, _, _, _, 4, 7]]


@pytest.mark.parametrize(("keys", "writes", "vocab"), [(1, 1, 4), (3, 3, 8), (4, 20, 12), (8, 24, 64)])
def test_the_newest_value_is_asked_for(keys, writes, vocab):
    task = build_task("overwrite", keys=keys, writes=writes, vocab=vocab)
    inputs, targets = task.batch("validation", 0, 40, 0)
    assert task.length == inputs.shape[1] == 2 * writes + keys
    stale = 0
    for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True):
        memory, old = {}, {}
        for k, v in zip(row[0 : 2 * writes : 2], row[1 : 2 * writes : 2], strict=True):
            assert 1 <= k < vocab // 2 <= v < vocab
            old.setdefault(k, []).append(v)
            memory[k] = v
        asked = row[2 * writes :]
        assert sorted(asked) == sorted(memory) and len(memory) == keys
        assert wanted == [_] * (2 * writes) + [memory[k] for k in asked]
        stale += sum(len(set(values)) > 1 for values in old.values())
    assert (stale > 0) == (writes > keys)


def test_queries_come_in_any_order():
    task = build_task("overwrite", keys=3, writes=3, vocab=64)
    inputs = task.batch("train", 0, 200, 0).inputs.numpy()
    first = inputs[:, 0:6:2].argsort(1).argsort(1)
    asked = inputs[:, 6:].argsort(1).argsort(1)
    assert len({tuple(row) for row in np.concatenate((first, asked), 1)}) == 36


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"keys": 0}, "keys must be at least 1, got 0"),
        ({"keys": 5, "writes": 4}, "writes must be at least keys=5, one each, not 4"),
        ({"keys": 4, "vocab": 8}, "vocab must have more than keys=4 key tokens"),
        ({"vocab": 2.5}, "vocab must be an integer of at least 4, got 2.5"),
    ],
)
def test_refusals_name_the_knob(knobs, said):
    with pytest.raises(HmlcoreError, match=said):
        build_task("overwrite", **knobs)
