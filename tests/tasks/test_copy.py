"""Copy, against examples worked out by hand."""

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, build_task


class Dealt:
    """A generator that deals the symbols the example is about."""

    def __init__(self, symbols):
        self.symbols = np.array(symbols)

    def integers(self, high, size):
        assert self.symbols.shape == size and self.symbols.max() < high
        return self.symbols


_ = IGNORE


def test_blank_cue_by_hand():
    task = build_task("copy", payload=3, delay=2, alphabet=4)
    batch = task.generate(Dealt([[2, 0, 3], [1, 1, 0]]), 2)
    # alphabet 4: letters 0..3, blank 4, GO 5
    assert batch.inputs.tolist() == [[2, 0, 3, 4, 4, 5, 4, 4], [1, 1, 0, 4, 4, 5, 4, 4]]
    assert batch.targets.tolist() == [[_, _, _, _, _, 2, 0, 3], [_, _, _, _, _, 1, 1, 0]]


def test_previous_cue_by_hand():
    task = build_task("copy", payload=3, delay=2, alphabet=4, cue="previous")
    batch = task.generate(Dealt([[2, 0, 3]]), 1)
    assert batch.inputs.tolist() == [[2, 0, 3, 4, 4, 5, 2, 0]]
    assert batch.targets.tolist() == [[_, _, _, _, _, 2, 0, 3]]


def test_smallest_by_hand():
    task = build_task("copy", payload=1, delay=0, alphabet=2)
    batch = task.generate(Dealt([[1]]), 1)
    assert batch.inputs.tolist() == [[1, 3]]
    assert batch.targets.tolist() == [[_, 1]]


@pytest.mark.parametrize("cue", ["blank", "previous"])
@pytest.mark.parametrize(
    ("payload", "delay", "alphabet"), [(1, 0, 2), (1, 9, 3), (8, 0, 8), (5, 17, 2), (20, 3, 30)]
)
def test_layout(payload, delay, alphabet, cue):
    task = build_task("copy", payload=payload, delay=delay, alphabet=alphabet, cue=cue)
    inputs, targets = (tensor.numpy() for tensor in task.batch("train", 0, 16, 0))
    answer = payload + delay
    assert task.length == inputs.shape[1] == payload + delay + 1 + (payload - 1)
    assert (inputs[:, :payload] < alphabet).all()
    assert (inputs[:, payload:answer] == task.blank).all()
    assert ((inputs == task.go).sum(axis=1) == 1).all() and (inputs[:, answer] == task.go).all()
    assert ((targets != IGNORE).sum(axis=1) == payload).all()
    assert (targets[:, answer:] == inputs[:, :payload]).all()
    if cue == "blank":
        assert (inputs[:, answer + 1 :] == task.blank).all()
    else:
        assert (inputs[:, answer + 1 :] == targets[:, answer:-1]).all()


def test_vocabulary_depends_on_the_alphabet_alone():
    sizes = {
        build_task("copy", payload=p, delay=d, cue=c).vocab_size
        for p in (1, 9)
        for d in (0, 50)
        for c in ("blank", "previous")
    }
    assert sizes == {10}


def test_delay_changes_the_lag_and_nothing_else():
    near, far = (build_task("copy", payload=6, delay=d).batch("train", 4, 8, 2) for d in (0, 40))
    assert near.inputs[:, :6].equal(far.inputs[:, :6])


def test_symbols_are_uniform():
    symbols = build_task("copy", payload=50, delay=0, alphabet=5).batch("train", 0, 400, 0).inputs[:, :50]
    shares = np.bincount(symbols.flatten().numpy(), minlength=5) / symbols.numel()
    assert np.abs(shares - 0.2).max() < 0.012  # 4 standard deviations of 20,000 draws


def test_the_test_set_never_moves():
    payload = build_task("copy").batch("test", 0, 2, 0).inputs[:, :8]
    assert payload.tolist() == PINNED


PINNED = [[7, 1, 7, 6, 6, 3, 5, 5], [4, 4, 7, 3, 4, 2, 0, 2]]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"payload": 0}, "payload must be at least 1, got 0"),
        ({"payload": 2.0}, "payload must be an integer of at least 1, got 2.0"),
        ({"delay": -1}, "delay must be at least 0, got -1"),
        ({"delay": True}, "delay must be an integer of at least 0, got True"),
        ({"alphabet": 1}, "alphabet must be at least 2, got 1"),
        ({"cue": "next"}, "unknown cue 'next'; known: blank, previous"),
    ],
)
def test_refusals(knobs, message):
    with pytest.raises(HmlcoreError) as error:
        build_task("copy", **knobs)
    assert str(error.value) == message
