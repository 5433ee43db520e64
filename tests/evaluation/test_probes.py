"""Probes on memories that hold a symbol by construction, or hold none; noise on a task that is solved."""

import copy

import pytest
import torch
from toy_memory import stirred, toy

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.metrics import evaluate
from hmlcore.evaluation.probes import PENALTIES, linear_probe, noise_robustness, ridge_readout
from hmlcore.layers import MIXERS
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.tasks import build_task

SMALL = {"alphabet": 4, "sequences": 160, "warmup": 5}
CPU = torch.device("cpu")


def store(monkeypatch, scale=1.0):
    """Adds up embeddings; those of symbols are one-hot in places where fillers have nothing."""
    model = toy(monkeypatch, vocab=12, width=12, scale=scale)
    with torch.no_grad():
        model.embedding.weight.copy_(torch.eye(12))
    return model


def test_what_a_memory_stores_is_read_at_every_lag(monkeypatch):
    rows = linear_probe(store(monkeypatch), (1, 8, 64), **SMALL)
    assert [(row["lag"], row["value"], row["n"]) for row in rows] == [(lag, 1.0, 40) for lag in (1, 8, 64)]
    assert all(row["chance"] == 0.25 and row["features"] == 12 and row["note"] is None for row in rows)
    assert all(row["penalty"] in PENALTIES for row in rows)


def test_what_a_memory_forgets_is_not_read(monkeypatch):
    """Within three standard deviations of chance, once 2⁻²⁰⁰ of the symbol is left beside rounding."""
    near, far = linear_probe(store(monkeypatch, 0.5), (2, 200), alphabet=4, sequences=1600, warmup=5)
    assert near["value"] == 1.0
    assert abs(far["value"] - 0.25) < 3 * (0.25 * 0.75 / 400) ** 0.5


def test_pieces_and_batches_change_nothing():
    model = stirred("hml")
    rows = linear_probe(model, (3, 17), **SMALL)
    again = linear_probe(model, (17, 3), **SMALL, batch=7, chunk=4)
    assert [row["value"] for row in rows] == [row["value"] for row in again]
    assert rows[0]["value"] > 0.25 + 3 * (0.25 * 0.75 / 40) ** 0.5
    assert rows[0]["features"] == 2 * 4 * 4


@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_every_mixer_is_probed_or_says_why_not(mixer):
    rows = linear_probe(stirred(mixer), (2, 9), alphabet=4, sequences=16, warmup=3)
    for row in rows:
        if mixer in ("attention", "hyena"):
            assert row["value"] is None and "grows" in row["note"]
        else:
            assert 0 <= row["value"] <= 1 and row["n"] == 4


def test_a_memory_that_overflows_is_said_to(monkeypatch):
    near, far = linear_probe(store(monkeypatch, 2.0), (2, 1100), **SMALL, chunk=100)
    assert near["value"] == 1 and far["value"] is None and far["note"] == "the state overflowed"


def test_large_memories_are_projected():
    model = stirred("mamba", d_state=40)  # 16 channels of 40
    assert {row["features"] for row in linear_probe(model, (2,), **SMALL)} == {512}


def test_shuffled_labels_are_read_at_chance():
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (2000,), generator=g)
    features = torch.randn(2000, 30, generator=g)
    features[:, 3] += labels == 2
    features[:, :5] += 6 * torch.nn.functional.one_hot(labels, 5)
    assert ridge_readout(features, labels).accuracy > 0.99
    found = ridge_readout(features, labels[torch.randperm(2000, generator=g)])
    assert found.n == 500 and abs(found.accuracy - 0.2) < 3 * (0.2 * 0.8 / 500) ** 0.5


def test_a_penalty_is_chosen_that_generalises(monkeypatch):
    """As many features as training sequences: without a penalty the fit is to noise."""
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (1600,), generator=g)
    features = torch.randn(1600, 790, generator=g)
    features[:, 0] += 5 * labels
    found = ridge_readout(features, labels)
    monkeypatch.setattr("hmlcore.evaluation.probes.PENALTIES", PENALTIES[:1])
    without = ridge_readout(features, labels)
    assert found.penalty > 0.01 and found.accuracy > without.accuracy + 0.1


def test_constant_features_are_no_obstacle():
    labels = torch.arange(40) % 2
    features = torch.stack((torch.ones(40), labels.float()), 1)
    features[30:, 0] += torch.arange(10) * 1e-7  # the same in training, to rounding elsewhere
    assert ridge_readout(features, labels).accuracy == 1


def trained_copy():
    """A GRU that has learned to repeat three letters, and its task."""
    task = build_task("copy", payload=2, delay=0, alphabet=3)
    torch.manual_seed(0)
    model = Backbone(BackboneConfig(task.vocab_size, "gru", 24, 1, 24))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(150):
        inputs, targets = task.batch("train", step, 32, 0)
        loss = torch.nn.functional.cross_entropy(model(inputs)[0].flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, task


def test_noise_takes_a_solved_task_to_chance():
    model, task = trained_copy()
    before = copy.deepcopy(model.state_dict())
    rows = noise_robustness(model, task, (0.0, 0.01, 100.0), examples=128)
    clean = evaluate(model, task, "test", 128, 32, CPU).accuracy
    assert [row["level"] for row in rows] == [0.0, 0.01, 100.0] and {row["n"] for row in rows} == {128}
    assert rows[0]["value"] == clean > 0.95
    assert abs(rows[1]["value"] - clean) < 0.02
    assert rows[2]["value"] < 0.6
    assert rows == noise_robustness(model, task, (0.0, 0.01, 100.0), examples=128)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert not model.embedding._forward_hooks


def test_refusals():
    model, task = stirred("gru"), build_task("copy")
    for call, message in (
        (lambda: linear_probe(model, (0,)), "lags must be at least 1, got 0"),
        (
            lambda: linear_probe(model, (1,), alphabet=20),
            "alphabet must be between 2 and vocab_size − 1 = 19, got 20",
        ),
        (lambda: linear_probe(model, (1,), sequences=4), "sequences must be at least 8, got 4"),
        (lambda: linear_probe(model, (1,), chunk=0), "chunk must be at least 1, got 0"),
        (lambda: noise_robustness(model, task, (-1.0,)), "levels must be at least 0"),
        (lambda: ridge_readout(torch.zeros(9, 2), torch.zeros(8)), "features must be"),
    ):
        with pytest.raises(HmlcoreError, match=message):
            call()
