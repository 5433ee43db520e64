"""Timings side by side: complete, comparable, left out rather than invented, and stored all or not at all."""

import json

import pytest
import torch

from hmlcore.cli import main
from hmlcore.errors import HmlcoreError
from hmlcore.results import Store, spec_hash
from hmlcore.results.spec import check_spec
from hmlcore.runner import run_grid
from hmlcore.runner.select import label
from hmlcore.runner.timed import is_side_by_side, whole_grid
from hmlcore.studies.kit.study import ALL_MIXERS, PROFILES
from hmlcore.studies.speed import layers as experiment

pytestmark = pytest.mark.usefixtures("own_folders")
CPU = torch.device("cpu")


@pytest.fixture
def store(own_folders):
    return Store(own_folders / "results")


@pytest.fixture
def tiny(monkeypatch):
    """The smoke profile, smaller still."""
    settings = dict(
        d_model=8, heads=2, lengths=[8, 16], tokens=32, repeats=2, share_s=9.0, decode_steps=2, limit_s=9.0
    )
    monkeypatch.setitem(experiment._SETTINGS, "smoke", settings)
    return settings


def specs(*mixers):
    return [spec for spec in experiment.grid("smoke") if not mixers or spec["mixer"] in mixers]


@pytest.mark.parametrize("profile", PROFILES)
def test_grids_are_storable_and_their_passes_equally_large(profile):
    grid = experiment.grid(profile)
    assert [spec["mixer"] for spec in grid] == list(ALL_MIXERS)
    for spec in grid:
        check_spec(spec)
        assert all(spec["tokens"] % length == 0 for length in spec["lengths"])
        assert spec["precision"] == ("bf16" if profile == "full" else "fp32")
        assert is_side_by_side(spec)
    assert len({label(spec) for spec in grid}) == len({spec_hash(spec) for spec in grid}) == len(ALL_MIXERS)
    if profile == "laptop":
        assert (min(spec["lengths"]), max(spec["lengths"])) == (512, 16384)


def test_every_mixer_has_every_row(tiny, store):
    assert len(run_grid(specs(), store).made) == len(ALL_MIXERS)
    results = store.load("smoke", "speed")
    assert results.mixers == sorted(ALL_MIXERS) and results.frame["started_at"].nunique() == 1
    for metric, n in (("seconds_train", 2), ("seconds_decode", 2), ("peak_memory_bytes", 1)):
        rows = results.metric(metric)
        assert len(rows) == 2 * len(ALL_MIXERS) and (rows["value"] > 0).all() and (rows["n"] == n).all()
        assert rows["path"].str.contains("short_conv:").all() and (rows["threads"] >= 1).all()
        batch = 1 if metric == "seconds_decode" else 32 // rows["length"]
        assert (rows["batch"] == batch).all()
        assert set(rows["passes"]) == {"decode" if metric == "seconds_decode" else "train"}
    assert (results.metric("seconds_train")["spread"] >= 0).all()
    for metric in ("copy_bandwidth", "matmul_rate"):
        assert results.metric(metric)["value"].nunique() == 1 and len(results.metric(metric)) == len(ALL_MIXERS)
    attention = results.metric("seconds_train", mixer="attention").set_index("length")
    assert attention["state_bytes"][16] - attention["state_bytes"][8] == 4 * 8 * 2 * 8
    assert (results.runs()["steps"] == 0).all() and (results.runs()["tokens_per_s"] > 0).all()


def test_one_missing_run_means_that_all_are_taken_anew(tiny, store):
    run_grid(specs(), store)
    assert run_grid(specs(), store).report() == f"0 made, {len(ALL_MIXERS)} already stored"
    before = store.load("smoke", "speed").frame["value"]
    store.path(specs("hml")[0]).unlink()
    outcome = run_grid(specs("hml"), store, jobs=2)
    assert outcome.report() == f"{len(ALL_MIXERS)} made, 0 already stored"
    frame = store.load("smoke", "speed").frame
    assert frame["started_at"].nunique() == 1 and not frame["value"].equals(before)
    other = specs("hml")[0] | {"lengths": [4]}
    assert whole_grid([other]) == [other]


def test_what_would_take_too_long_is_left_out_and_said(tiny, capsys):
    runs = experiment.measure([spec | {"limit_s": 1e-9} for spec in specs("hml", "gru")], CPU)
    for run in runs:
        assert {row["length"] for row in run.rows if "length" in row} == {8}
    error = capsys.readouterr().err
    assert "speed: hml left out from 16 tokens on: about 0 s a pass, the limit is 1e-09 s" in error


def test_expected_time_grows_as_before():
    assert experiment._expected([]) == 0
    assert experiment._expected([3.0]) == 3
    assert experiment._expected([3.0, 6.0]) == 12
    assert experiment._expected([3.0, 2.0]) == 2


def test_who_has_no_memory_leaves_and_the_others_go_on(tiny, monkeypatch, capsys):
    usual = experiment.speed.train_pass

    def limited(mixer, x, precision):
        if mixer.name == "attention" and x.shape[1] > 8:
            raise torch.OutOfMemoryError("no room. Tried everything.")
        return usual(mixer, x, precision)

    monkeypatch.setattr(experiment.speed, "train_pass", limited)
    hml, attention = experiment.measure(specs("hml", "attention"), CPU)
    assert [row["length"] for row in attention.rows if row["metric"] == "seconds_train"] == [8]
    assert [row["length"] for row in hml.rows if row["metric"] == "seconds_train"] == [8, 16]
    assert "speed: attention left out from 16 tokens on: no room" in capsys.readouterr().err


def test_interrupted_nothing_is_stored(tiny, store, monkeypatch):
    def interrupt(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "_decode", interrupt)
    outcome = run_grid(specs(), store)
    assert outcome.interrupted and len(outcome.left) == len(ALL_MIXERS) and outcome.made == []
    assert not store.has_any("smoke", "speed")


def test_specs_that_differ_otherwise_are_refused(tiny):
    one, other = specs("hml", "gru")
    with pytest.raises(HmlcoreError, match="differ in mixer only"):
        experiment.measure([one, other | {"tokens": 64}], CPU)
    with pytest.raises(HmlcoreError, match="lengths must be whole and at least 2, got 0"):
        experiment.measure([one | {"lengths": [0]}], CPU)


def test_bench_prints_and_stores_the_whole_grid_only(tiny, store, capsys):
    assert main(["bench", "--profile", "smoke", "--only", "mixer=hml,attention", "--lengths", "8"]) == 0
    out = capsys.readouterr().out
    assert "hamiltonian:chunk" in out and "not stored" in out and not store.has_any("smoke", "speed")
    line = next(line for line in out.splitlines() if "attention " in line.split("÷")[0])
    assert line.split()[:2] == ["8", "attention"] and line.split()[3] == "1"
    assert main(["bench", "--profile", "smoke"]) == 0
    first = store.load("smoke", "speed").frame["value"]
    assert main(["bench", "--profile", "smoke"]) == 0
    assert not store.load("smoke", "speed").frame["value"].equals(first)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_full_profile_is_refused_on_a_cpu(store, capsys):
    assert main(["bench", "--profile", "full"]) == 2
    assert "needs" in capsys.readouterr().err
    (message,) = set(run_grid(experiment.grid("full"), store).failed.values())
    assert "profile 'full' needs" in message


def test_specs_are_plain_json(tiny):
    assert json.loads(json.dumps(specs())) == specs()
