"""Refusals and selections of a ResultSet."""

import pandas as pd
import pytest
from made_up import provenance, run

from hmlcore.errors import HmlcoreError
from hmlcore.results import ResultSet, Store, spec_hash
from hmlcore.results.pack import pack
from hmlcore.runner.lookup import find_run, report


def results(tmp_path, *runs):
    store = Store(tmp_path)
    for one in runs:
        store.write(one)
    return store.load("smoke", runs[0].spec["experiment"])


def scored(validation, test=0.0, **changes):
    rows = [
        {"metric": "accuracy", "value": value, "n": 100, "split": "validation", "pairs": pairs}
        for pairs, value in zip((4, 8), validation, strict=False)
    ]
    return run([*rows, {"metric": "accuracy", "value": test, "n": 100, "pairs": 4}], **changes)


def chosen(found):
    return {(s["mixer"], s["model"]["d_model"], s["lr"]) for s in found.specs()}


@pytest.mark.parametrize(("column", "value"), [("profile", "laptop"), ("schema", 2), ("experiment", "recall")])
def test_mixtures_are_refused(tmp_path, column, value):
    frame = results(tmp_path, run()).frame
    with pytest.raises(HmlcoreError, match=f"refusing to mix results of several {column}s"):
        ResultSet(pd.concat([frame, frame.assign(**{column: value})]))


def test_empty_and_foreign_frames_are_refused(tmp_path):
    frame = results(tmp_path, run()).frame
    with pytest.raises(HmlcoreError, match="empty"):
        ResultSet(frame.iloc[:0])
    with pytest.raises(HmlcoreError, match=r"lack the columns \['metric'"):
        ResultSet(pd.DataFrame({"a": [1]}))


def test_metric_selects_and_drops_what_is_empty(tmp_path):
    rows = [
        {"metric": "exact", "value": 0.5, "n": 10, "payload": 8, "delay": 16},
        {"metric": "exact", "value": 0.7, "n": 10, "payload": 8, "delay": 32},
        {"metric": "exact", "value": 0.1, "n": 10, "payload": 8, "delay": 16, "split": "validation"},
        {"metric": "loss", "value": 2.0, "step": 1, "split": "train"},
    ]
    found = results(tmp_path, run(rows))
    assert list(found.metric("exact")["value"]) == [0.5, 0.7]
    assert list(found.metric("exact", delay=32)["value"]) == [0.7]
    assert list(found.metric("exact", delay=[16, 32], mixer="hml")["value"]) == [0.5, 0.7]
    assert list(found.metric("exact", split="validation")["value"]) == [0.1]
    assert "step" not in found.metric("exact") and found.metric("exact")["delay"].dtype == "int64"
    assert list(found.metric("loss")["step"]) == [1]  # its only split
    for wrong, message in [
        ({"name": "exactly"}, "unknown metric 'exactly'; known: exact, loss"),
        ({"name": "exact", "pairs": 3}, "unknown column 'pairs'"),
        ({"name": "exact", "delay": 99}, "no 'exact' of 'copy' with split='test', delay=99"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            found.metric(**wrong)


def test_metric_on_two_splits_without_test_must_be_named(tmp_path):
    rows = [{"metric": "a", "value": 1, "split": split} for split in ("train", "validation")]
    with pytest.raises(HmlcoreError, match="name one"):
        results(tmp_path, run(rows)).metric("a")


def test_best_lr_is_chosen_per_mixer_on_validation_alone(tmp_path):
    found = results(
        tmp_path,
        scored([0.9, 0.7], test=0.1, lr=0.001),
        scored([0.7, 0.7], test=1.0, lr=0.01),  # best on test, and that must not matter
        scored([0.2, 0.2], test=0.9, lr=0.001, mixer="gru"),
        scored([0.3, 0.3], test=0.1, lr=0.01, mixer="gru"),
    )
    best = found.best_lr("accuracy")
    assert chosen(best) == {("hml", 64, 0.001), ("gru", 64, 0.01)}
    assert chosen(found.best_lr("accuracy", mode="min")) == {("hml", 64, 0.01), ("gru", 64, 0.001)}
    shuffled = found.frame.assign(value=found.frame["value"].where(found.frame["split"] != "test", 123.0))
    assert chosen(ResultSet(shuffled).best_lr("accuracy")) == chosen(best)


def test_best_lr_by_width_and_condition(tmp_path):
    found = results(
        tmp_path,
        scored([0.9, 0.1], lr=0.001, d_model=32),
        scored([0.8, 0.8], lr=0.01, d_model=32),
        scored([0.5, 0.5], lr=0.001, d_model=64),
        scored([0.4, 0.4], lr=0.01, d_model=64),
    )
    assert chosen(found.best_lr("accuracy", by=["d_model"])) == {("hml", 32, 0.01), ("hml", 64, 0.001)}
    assert chosen(found.best_lr("accuracy", by="d_model", pairs=4)) == {
        ("hml", 32, 0.001),
        ("hml", 64, 0.001),
    }
    with pytest.raises(HmlcoreError, match="unknown column in by 'pairs'"):
        found.best_lr("accuracy", by=["pairs"])


def test_best_lr_compares_shared_seeds_and_keeps_all(tmp_path):
    found = results(
        tmp_path,
        scored([0.5, 0.5], lr=0.001, seed=0),
        scored([0.1, 0.1], lr=0.001, seed=1),  # a hard seed that the other rate never met
        scored([0.4, 0.4], lr=0.01, seed=0),
    )
    best = found.best_lr("accuracy")
    assert chosen(best) == {("hml", 64, 0.001)} and best.seeds == [0, 1]
    apart = found.where(lr=0.001, seed=1).frame
    apart = ResultSet(pd.concat([apart, found.where(lr=0.01).frame]))
    with pytest.raises(HmlcoreError, match="share no seed"):
        apart.best_lr("accuracy")


def test_best_lr_counts_divergence_as_worst_and_ties_as_smaller(tmp_path):
    diverged = results(tmp_path / "a", scored([float("nan"), 0.9], lr=0.001), scored([0.1, 0.1], lr=0.01))
    assert chosen(diverged.best_lr("accuracy")) == {("hml", 64, 0.01)}
    assert chosen(diverged.best_lr("accuracy", mode="min")) == {("hml", 64, 0.01)}
    tied = results(tmp_path / "b", scored([0.5, 0.5], lr=0.01), scored([0.5, 0.5], lr=0.001))
    assert chosen(tied.best_lr("accuracy")) == {("hml", 64, 0.001)}


def test_best_lr_needs_validation_of_every_mixer(tmp_path):
    found = results(tmp_path, scored([0.5, 0.5]), run([{"metric": "accuracy", "value": 1}], mixer="gru"))
    with pytest.raises(HmlcoreError, match="no validation 'accuracy' for gru"):
        found.best_lr("accuracy")


def test_timings_refuse_mixed_devices(tmp_path):
    found = results(tmp_path, run(seed=0), run(seed=1))
    assert list(found.timings()["wall_s"]) == [31.0, 31.0]
    mixed = results(tmp_path, run(seed=0), run(seed=1, made=provenance(device="cuda")))
    with pytest.raises(HmlcoreError, match=r"several devices: \['cpu', 'cuda'\]"):
        mixed.timings()


def test_stamp(tmp_path):
    found = results(tmp_path, run(seed=0), run(seed=1), run(seed=0, mixer="gru"))
    assert found.stamp() == "smoke profile · CPU · 1–2 seeds"
    assert found.where(seed=0).stamp() == "smoke profile · CPU · 1 seed"
    mixed = results(tmp_path, run(seed=1, made=provenance(device="NVIDIA H200", dirty=True)))
    assert mixed.stamp() == "smoke profile · CPU and NVIDIA H200 · 1–2 seeds · uncommitted code"


@pytest.mark.parametrize("packed", [False, True])
def test_a_revision_that_is_not_known_is_stored_and_said_as_such(tmp_path, packed):
    """Neither clean nor changed, in rows, stamps and reports, of loose runs and of packed ones."""
    store = Store(tmp_path)

    def stored(seed, dirty):
        one = run(seed=seed, train=[], made=provenance(commit="unknown", dirty=dirty))
        store.write(one, replace=True)
        if packed:
            pack(store, "smoke")
        found = store.load("smoke", "copy")
        return found, report(find_run(store, spec_hash(one.spec)))

    found, text = stored(0, None)
    assert found.stamp() == "smoke profile · CPU · 1 seed · code of unknown revision"
    assert "commit unknown, whether changed since is not known\n" in text
    found, text = stored(1, True)
    assert found.stamp() == "smoke profile · CPU · 2 seeds · uncommitted code · code of unknown revision"
    assert "commit unknown with uncommitted changes\n" in text
    found, text = stored(1, False)
    assert found.stamp() == "smoke profile · CPU · 2 seeds · code of unknown revision"
    assert "commit unknown\n" in text and found.where(seed=1).stamp() == "smoke profile · CPU · 1 seed"


def test_runs_and_specs(tmp_path):
    found = results(tmp_path, scored([0.5, 0.6], seed=0), scored([0.5, 0.6], seed=1))
    runs = found.runs()
    assert list(runs.index) == found.hashes == sorted(spec_hash(s) for s in found.specs())
    assert "pairs" not in runs and "value" not in runs
    assert set(runs["seed"]) == {0, 1} and set(runs["parameters"]) == {101_000}
