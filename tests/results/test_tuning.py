"""Tuned results: one rate per mixer, width and corpus, by the experiment's own metric."""

import pytest
from made_up import run

from hmlcore.errors import HmlcoreError
from hmlcore.results import Store
from hmlcore.results.tuning import tuned


def scored(metric, value, **changes):
    return run([{"metric": metric, "split": "validation", "value": value, "n": 10}], **changes)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def kept(results):
    return sorted((s["mixer"], s["model"]["d_model"], s["lr"]) for s in results.specs())


def test_one_rate_each_needs_no_validation(store):
    store.write(run(lr=0.1))
    store.write(run(lr=0.2, mixer="gru"))
    results = store.load("smoke", "copy")
    assert tuned(results) is results


def test_copy_takes_the_highest_accuracy_of_each_width(store):
    for width, scores in ((32, (0.1, 0.2)), (64, (0.4, 0.3))):
        for lr, score in zip((0.001, 0.01), scores, strict=True):
            store.write(scored("accuracy", score, lr=lr, d_model=width))
    assert kept(tuned(store.load("smoke", "copy"))) == [("hml", 32, 0.01), ("hml", 64, 0.001)]


def test_bytes_takes_the_lowest_bits_of_each_corpus(store):
    for corpus, scores in (("stdlib", (2.0, 3.0)), ("pg19", (3.0, 2.0))):
        for lr, score in zip((0.001, 0.01), scores, strict=True):
            rows = [{"metric": "loss", "split": "train", "value": 1.0, "step": 1}]
            rows += [{"metric": "bits_per_byte", "split": "validation", "value": score, "corpus": corpus}]
            store.write(run(rows, experiment="bytes", lr=lr, train=[{"corpus": corpus}]))
    found = tuned(store.load("smoke", "bytes"))
    assert sorted((s["train"][0]["corpus"], s["lr"]) for s in found.specs()) == [
        ("pg19", 0.01),
        ("stdlib", 0.001),
    ]


def test_experiment_without_a_criterion(store):
    for lr in (0.1, 0.2):
        store.write(scored("accuracy", 0.5, lr=lr, experiment="needle"))
    with pytest.raises(
        HmlcoreError, match="unknown experiment 'needle'; known: bakeoff, bytes, copy, lra_listops, lra_text"
    ):
        tuned(store.load("smoke", "needle"))
