"""MQAR, against Zoology's definition: by hand, by invariant, and in distribution."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import IGNORE, build_task
from hmlcore.tasks import mqar as module

_ = IGNORE


def test_by_hand(monkeypatch):
    # After the example in Zoology's documentation: pairs 2→8 and 4→15, asked for in places 4 and 1.
    # Keys start at 1 and values at 17 // 2 = 8.
    draws = iter([np.array([[1, 3]]), np.array([[0, 7]])])
    monkeypatch.setattr(module, "sample_without_replacement", lambda *ignored: next(draws))
    monkeypatch.setattr(module.MQAR, "_gaps", lambda *ignored: np.array([[4, 1]]))
    task = build_task("mqar", vocab=17, length=16, pairs=2, random_non_queries=False)
    batch = task.generate(np.random.default_rng(0), 1)
    #                              key val key val          query (place 1)    query (place 4)
    assert batch.inputs.tolist() == [[2, 8, 4, 15, 0, 0, 4, 0, 0, 0, 0, 0, 2, 0, 0, 0]]
    assert batch.targets.tolist() == [[_, _, _, _, _, _, 15, _, _, _, _, _, 8, _, _, _]]


settings_of_the_task = st.builds(
    lambda pairs, extra, room, a, fill, seed: (
        {
            "pairs": pairs,
            "length": 4 * pairs + 2 * extra,
            "vocab": 4 * pairs + 2 * extra + 1 + room,
            "power_a": a,
            "random_non_queries": fill,
        },
        seed,
    ),
    st.integers(1, 12),
    st.integers(0, 20),
    st.integers(0, 60),
    st.sampled_from([0.01, 0.5, 1.0, 3.0]),
    st.booleans(),
    st.integers(0, 2**32),
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(settings_of_the_task)
def test_invariants(case):
    knobs, seed = case
    task = build_task("mqar", **knobs)
    inputs, targets = (tensor.numpy() for tensor in task.batch("train", 0, 8, seed))
    context, half = 2 * task.pairs, task.vocab // 2
    for row, answers in zip(inputs, targets, strict=True):
        keys, values = row[0:context:2], row[1:context:2]
        assert len(set(keys)) == len(set(values)) == task.pairs
        assert keys.min() >= 1 and keys.max() < half
        assert values.min() >= half and values.max() < task.vocab
        scored = np.flatnonzero(answers != IGNORE)
        assert len(scored) == task.pairs
        assert (scored >= context).all() and (scored % 2 == 0).all()
        assert sorted(row[scored]) == sorted(keys)
        memory = dict(zip(keys, values, strict=True))
        assert [memory[key] for key in row[scored]] == answers[scored].tolist()
        filler = np.setdiff1d(np.arange(context, task.length), scored)
        if not task.random_non_queries:
            assert (row[filler] == 0).all()


def test_every_key_and_value_can_occur():
    inputs = build_task("mqar", vocab=17, length=16, pairs=4).batch("train", 0, 500, 0).inputs.numpy()
    assert set(inputs[:, 0:8:2].flatten()) == set(range(1, 8))
    assert set(inputs[:, 1:8:2].flatten()) == set(range(8, 17))


def test_filler_is_uniform_over_the_whole_vocabulary():
    inputs, targets = build_task("mqar", vocab=20, length=16, pairs=1).batch("train", 0, 3000, 0)
    filler = inputs[:, 2:][targets[:, 2:] == IGNORE].numpy()
    shares = np.bincount(filler, minlength=20) / len(filler)
    assert len(filler) == 39_000
    assert np.abs(shares - 1 / 20).max() < 4 * np.sqrt(0.05 * 0.95 / 39_000)


@pytest.mark.parametrize("position", [0, 2])
def test_keys_are_uniform_at_every_position(position):
    keys = (
        build_task("mqar", vocab=21, length=8, pairs=2).batch("train", 0, 9000, 0).inputs[:, position].numpy()
    )
    shares = np.bincount(keys, minlength=10)[1:] / 9000
    assert np.abs(shares - 1 / 9).max() < 4 * np.sqrt(1 / 9 * 8 / 9 / 9000)


def places_of_each_key(task, count, seed=0):
    """[count, pairs]: the place where the j-th key of the block is asked for."""
    inputs, targets = (tensor.numpy() for tensor in task.batch("train", 0, count, seed))
    context = 2 * task.pairs
    tail = np.where(targets[:, context:] == IGNORE, -1, inputs[:, context:])[:, ::2]
    return np.stack([(tail == inputs[:, 2 * j, None]).argmax(axis=1) for j in range(task.pairs)], axis=1)


@pytest.mark.parametrize("power_a", [0.01, 0.5, 1.0, 2.0])
def test_gaps_follow_the_power_law_without_replacement(power_a):
    task = build_task("mqar", length=18, pairs=3, vocab=19, power_a=power_a, random_non_queries=False)
    weight = power_a * np.arange(1, 7) ** (power_a - 1)
    weight = weight / weight.sum()
    # Draw after draw, each renormalised over what is left: the j-th draw's distribution, exactly.
    expected = np.zeros((3, 6))
    for order in permutations(range(6), 3):
        chance, left = 1.0, 1.0
        for place in order:
            chance *= weight[place] / left
            left -= weight[place]
        for j, place in enumerate(order):
            expected[j, place] += chance
    np.testing.assert_allclose(expected.sum(axis=1), 1)

    count = 20_000
    places = places_of_each_key(task, count)
    found = np.stack([np.bincount(places[:, j], minlength=6) / count for j in range(3)])
    np.testing.assert_allclose(found, expected, atol=4.5 * np.sqrt(0.25 / count))
    np.testing.assert_allclose(found.sum(axis=0), expected.sum(axis=0), atol=4.5 * np.sqrt(0.25 / count))


def test_the_test_set_never_moves():
    batch = build_task("mqar", length=8, pairs=2).batch("test", 0, 1, 0)
    assert [batch.inputs.tolist()[0], batch.targets.tolist()[0]] == PINNED


PINNED = [[1099, 5276, 3957, 7776, 1099, 5579, 3957, 7564], [_, _, _, _, 5276, _, 7776, _]]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"length": 63}, "length must be even, not 63"),
        ({"length": 2}, "length must be at least 4, got 2"),
        ({"pairs": 0}, "pairs must be at least 1, got 0"),
        ({"pairs": 17}, "pairs=17 needs a length of at least 68, not 64"),
        ({"vocab": 64}, "vocab must exceed length=64, not be 64"),
        ({"vocab": "8192"}, "vocab must be an integer of at least 5, got '8192'"),
        ({"power_a": 0}, "power_a must be above 0 and finite, got 0"),
        ({"power_a": float("nan")}, "power_a must be above 0 and finite, got nan"),
        ({"random_non_queries": 1}, "random_non_queries must be True or False, got 1"),
    ],
)
def test_refusals(knobs, message):
    with pytest.raises(HmlcoreError) as error:
        build_task("mqar", **knobs)
    assert str(error.value) == message


def test_the_tightest_setting_is_allowed():
    task = build_task("mqar", length=64, pairs=16, vocab=65)
    assert (task.batch("train", 0, 4, 0).targets != IGNORE).sum() == 64
