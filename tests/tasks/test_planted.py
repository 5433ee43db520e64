"""Planted facts: a question is the cue in other company, at its distance, and never holds its answer."""

import numpy as np
import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.tasks.base import IGNORE
from hmlcore.tasks.planted import ASK, MARK, WIDTHS, Planted

TASK = Planted(facts=3, distance=400, vocab=128)


def test_every_question_is_its_fact_again_at_the_distance():
    drawn = TASK.draw(np.random.default_rng(0), 4)
    for b, f in np.ndindex(drawn.kind.shape):
        row, at, kind = drawn.inputs[b], drawn.at[b, f], TASK.kinds[drawn.kind[b, f]]
        answer = drawn.answer[b, f, : WIDTHS[kind]]
        fact = at - TASK.distance
        assert row[fact - 2] == MARK and row[at - 2] == ASK
        assert (row[fact - 1 : fact + 1] == drawn.cue[b, f]).all()
        asked = row[at - 1 : at + 1]
        # A synonym differs in its last bit, and only where the kind says so.
        assert (asked ^ drawn.cue[b, f] == (kind == "semantic")).all()
        assert (row[fact + 1 : fact + 1 + len(answer)] == answer).all()
        assert (drawn.targets[b, at : at + len(answer)] == answer).all()
        assert not np.isin(answer, asked).any()
    assert (drawn.targets != IGNORE).sum() == 4 * 3 * sum(WIDTHS.values())
    cues = [tuple(c // 2) for c in drawn.cue[0]]
    assert len(set(cues)) == len(cues)
    assert (drawn.inputs >= 0).all() and (drawn.inputs < TASK.vocab).all()


def test_answers_come_from_their_pools():
    drawn = TASK.draw(np.random.default_rng(1), 16)
    first = {kind: drawn.answer[drawn.kind == n][:, 0] for n, kind in enumerate(TASK.kinds)}
    assert first["rare"].min() >= 112 and first["semantic"].min() >= 112
    assert first["common"].max() < 16 and first["common"].min() >= 2
    rest = np.concatenate((first["dictionary"], first["uuid"]))
    assert rest.min() >= 80 and rest.max() < 112 and first["uuid"].max() < 96
    cues = drawn.cue.ravel()
    assert cues.min() >= 16 and cues.max() < 80


def test_filler_is_a_chain_with_synonyms():
    """After a word, half of the time and more one of two: what it names, by either of its synonyms."""
    row = (
        Planted(kinds=("rare",), facts=1, distance=40_000, vocab=128)
        .draw(np.random.default_rng(0), 1)
        .inputs[0]
    )
    after = {}
    for a, b in zip(row[10:-20] // 2, row[11:-19] // 2, strict=True):
        after.setdefault(a, []).append(b)
    shares = [np.bincount(b).max() / len(b) for b in after.values() if len(b) > 200]
    assert len(shares) > 5 and 0.5 < np.mean(shares) < 0.75
    counts = np.bincount(row, minlength=128)
    assert counts[2:16].mean() > 3 * counts[112:].mean() and counts[112:].min() > 0
    assert abs(counts[2::2].sum() / counts[3::2].sum() - 1) < 0.05


def test_what_is_scored():
    plain, whole = (
        Planted(facts=1, distance=60, filler_scored=x).batch("test", 0, 2, 0) for x in (False, True)
    )
    assert torch.equal(plain.inputs, whole.inputs)
    answers = plain.targets != IGNORE
    assert torch.equal(plain.targets[answers], whole.targets[answers])
    assert torch.equal(whole.targets[:, :-1], whole.inputs[:, 1:])
    assert (whole.targets[:, :-1] != IGNORE).all()


def test_refusals():
    with pytest.raises(HmlcoreError, match="distance must hold the facts, at least 40 tokens, got 39"):
        Planted(facts=1, distance=39)
    with pytest.raises(HmlcoreError, match="kinds must be named once each"):
        Planted(kinds=("rare", "rare"))
    with pytest.raises(HmlcoreError, match="vocab must be a multiple of 16, got 100"):
        Planted(vocab=100)
    with pytest.raises(HmlcoreError, match="facts must be at most 51 a kind, got 52"):
        Planted(vocab=64, facts=52, distance=10_000)
