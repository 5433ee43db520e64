"""Tuned results: one rate per mixer within each value of the factors, by the criterion that results carry."""

import pytest
from made_up import run

from hmlcore.errors import HmlcoreError
from hmlcore.results import ResultSet, Store
from hmlcore.results.tuning import at_edge, rates_text, tuned
from hmlcore.studies import get_experiment


def scored(metric, value, **changes):
    return run([{"metric": metric, "split": "validation", "value": value, "n": 10}], **changes)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def loaded(store, experiment) -> ResultSet:
    return get_experiment(experiment).load(store, "smoke")


def kept(results):
    return sorted((s["mixer"], s["model"]["d_model"], s["lr"]) for s in results.specs())


def test_one_rate_each_needs_neither_validation_nor_criterion(store):
    store.write(run(lr=0.1))
    store.write(run(lr=0.2, mixer="gru"))
    results = store.load("smoke", "copy")
    assert results.tuning is None and tuned(results) is results


def test_recall_takes_the_highest_accuracy_of_each_width(store):
    for width, scores in ((32, (0.1, 0.2)), (64, (0.4, 0.3))):
        for lr, score in zip((0.001, 0.01), scores, strict=True):
            store.write(scored("accuracy", score, lr=lr, d_model=width, experiment="recall"))
    assert kept(tuned(loaded(store, "recall"))) == [("hml", 32, 0.01), ("hml", 64, 0.001)]


def test_text_takes_the_lowest_bits_of_each_task(store):
    for task, scores in (("bytes", (2.0, 3.0)), ("byte pairs", (3.0, 2.0))):
        for lr, score in zip((0.001, 0.01), scores, strict=True):
            rows = [{"metric": "loss", "split": "train", "value": 1.0, "step": 1}]
            rows += [{"metric": "bits_per_token", "split": "validation", "value": score, "task": task}]
            store.write(run(rows, experiment="pg19", lr=lr, task=task, variant="plain"))
    found = tuned(loaded(store, "pg19"))
    assert sorted((s["task"], s["lr"]) for s in found.specs()) == [("byte pairs", 0.01), ("bytes", 0.001)]


def test_what_is_chosen_stays_chosen_and_parts_keep_the_criterion(store):
    for lr, score in ((0.001, 0.9), (0.01, 0.5)):
        store.write(scored("accuracy", score, lr=lr))
    results = loaded(store, "copy")
    chosen = tuned(results)
    assert tuned(chosen) is chosen
    part = results.where(seed=0)
    assert part.tuning == results.tuning == get_experiment("copy").tuning
    assert tuned(part).hashes == chosen.hashes


def test_several_rates_without_a_criterion_are_refused(store):
    for lr in (0.1, 0.2):
        store.write(scored("accuracy", 0.5, lr=lr))
    with pytest.raises(HmlcoreError, match=r"results of 'copy' hold several learning rates and no criterion"):
        tuned(store.load("smoke", "copy"))


def test_a_criterion_without_validation_is_refused(store):
    for lr in (0.1, 0.2):
        store.write(run([{"metric": "accuracy", "value": 0.5, "n": 1}], lr=lr))
    with pytest.raises(HmlcoreError, match="no 'accuracy' of 'copy' with split='validation'"):
        tuned(loaded(store, "copy"))


def test_a_rate_at_the_edge_of_several_is_marked(store):
    """At width 32 the best of three is inside, at 64 it is the largest; the GRU tried one rate only."""
    for width, scores in ((32, (0.1, 0.3, 0.2)), (64, (0.1, 0.2, 0.3))):
        for lr, score in zip((0.001, 0.01, 0.1), scores, strict=True):
            store.write(scored("accuracy", score, lr=lr, d_model=width, experiment="recall"))
    store.write(scored("accuracy", 0.5, lr=0.01, d_model=64, experiment="recall", mixer="gru"))
    results = loaded(store, "recall")
    edge, frame = at_edge(results), tuned(results).frame
    assert edge == set(tuned(results).where(mixer="hml", d_model=64).hashes)
    assert rates_text(frame[frame["mixer"] == "hml"], edge) == "0.01, 0.1 (edge)"
    assert rates_text(frame[frame["mixer"] == "gru"], edge) == "0.01"


def test_the_smallest_rate_is_an_edge_too(store):
    for lr, score in ((0.001, 0.3), (0.01, 0.2)):
        store.write(scored("accuracy", score, lr=lr, experiment="recall"))
    results = loaded(store, "recall")
    assert at_edge(results) == set(tuned(results).hashes)
