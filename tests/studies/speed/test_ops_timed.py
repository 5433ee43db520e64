"""Ops side by side: every row with its floors, left out rather than invented, a grid that any machine fills."""

import dataclasses
import json

import pytest
import torch

from hmlcore.cli import main
from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.op_candidates import CANDIDATES
from hmlcore.results import Store, spec_hash
from hmlcore.results.spec import check_spec
from hmlcore.runner import run_grid
from hmlcore.runner.select import label
from hmlcore.runner.timed import is_side_by_side
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.speed import layers
from hmlcore.studies.speed import ops as experiment
from hmlcore.studies.speed.claims import GOALS, OURS
from hmlcore.studies.speed.op_table import op_table

pytestmark = pytest.mark.usefixtures("own_folders")
CPU = torch.device("cpu")
HERE = [name for name in CANDIDATES if not name.endswith("-fla")]


@pytest.fixture
def store(own_folders):
    return Store(own_folders / "results")


@pytest.fixture
def tiny(monkeypatch):
    """The smoke profile, smaller still."""
    settings = dict(
        heads=2, head_dim=4, lengths=[8, 16, 64], tokens=32, repeats=2, share_s=9.0, limit_s=9.0,
        contexts=[5, 500], decode_steps=2, decode_repeats=2,
    )  # fmt: skip
    monkeypatch.setitem(experiment._SETTINGS, "smoke", settings)
    return settings


def specs(*names):
    return [spec for spec in experiment.grid("smoke") if not names or spec["mixer"] in names]


def rows_of(run, metric):
    return [row for row in run.rows if row["metric"] == metric]


@pytest.mark.parametrize("profile", PROFILES)
def test_grids_are_storable_and_have_no_gpu_rows_for_a_cpu(profile):
    grid = experiment.grid(profile)
    assert [spec["mixer"] for spec in grid] == (list(CANDIDATES) if profile == "full" else HERE)
    for spec in grid:
        check_spec(spec)
        assert spec["precision"] == ("bf16" if profile == "full" else "fp32") and is_side_by_side(spec)
    assert len({label(spec) for spec in grid}) == len({spec_hash(spec) for spec in grid}) == len(grid)
    assert json.loads(json.dumps(grid)) == grid
    if profile != "smoke":
        assert grid[0]["contexts"] == [1000, 100_000, 1_000_000]
    if profile == "laptop":
        assert (min(grid[0]["lengths"]), max(grid[0]["lengths"])) == (1024, 32_768)


def test_every_op_has_every_row_with_floors(tiny, store):
    assert len(run_grid(specs(), store).made) == len(HERE)
    results = store.load("smoke", "op_speed")
    assert results.mixers == sorted(HERE) and results.frame["started_at"].nunique() == 1
    train, decode = results.metric("seconds_train"), results.metric("seconds_decode")
    assert len(train) == len(results.metric("peak_memory_bytes")) == 3 * len(HERE)
    assert len(decode) == 2 * len(HERE) and set(decode["length"]) == {5, 500}
    # As many tokens in a pass, or one sequence where that is longer.
    assert (train["batch"] == train["length"].map({8: 4, 16: 2, 64: 1})).all()
    rates = {m: results.metric(m)["value"].unique().item() for m in ("copy_bandwidth", "matmul_rate")}
    for rows in (train, decode):
        assert (rows["value"] > 0).all() and (rows["n"] == 2).all() and (rows["threads"] >= 1).all()
        assert rows["floor_bytes_s"].values == pytest.approx(rows["bytes_moved"] / rates["copy_bandwidth"])
        assert rows["floor_flops_s"].values == pytest.approx(rows["flops"] / rates["matmul_rate"])
    paths = train.groupby("mixer")["path"].first()
    assert paths["op:hml-p2"] == "hamiltonian:chunk" and paths["op:sdpa"].startswith("torch:")
    assert decode.groupby("mixer")["path"].first()["op:hml-p2"].startswith("hamiltonian_step:")
    moved = decode.pivot(index="mixer", columns="length", values="bytes_moved")
    grows = moved[500] > moved[5]
    assert list(grows.index[grows]) == ["op:sdpa"]
    p2 = train[(train["mixer"] == OURS) & (train["length"] == 16)].iloc[0]
    assert p2["flops"] == 3 * 32 * 6 * (2 * 2 * 4 * 4) and p2["state_bytes"] == 4 * 2 * 2 * 4 * 4


def test_who_cannot_run_here_is_named_and_has_no_timing(tiny, monkeypatch, store, capsys):
    some = specs("op:hml-p1")[0]
    asked = [some, some | {"mixer": "op:gdn-fla"}]
    ours, fla = experiment.measure(asked, CPU)
    assert "op_speed: op:gdn-fla: left out: it needs a CUDA device" in capsys.readouterr().err
    assert {row["metric"] for row in fla.rows} == {"copy_bandwidth", "matmul_rate"}
    assert len(rows_of(ours, "seconds_train")) == 3
    assert store.write(fla).is_file()  # so that a grid is complete where there is no GPU


def test_limits_of_time_and_room_leave_out_and_say_so(tiny, monkeypatch, capsys):
    runs = experiment.measure([spec | {"limit_s": 1e-9} for spec in specs("op:hml-p1", "op:sdpa")], CPU)
    for run in runs:
        assert {row["length"] for row in rows_of(run, "seconds_train")} == {8}
        assert {row["length"] for row in rows_of(run, "seconds_decode")} == {5, 500}
    error = capsys.readouterr().err
    assert "op:sdpa: training left out from 16 tokens on: about 0 s a pass, the limit is 1e-09 s" in error
    monkeypatch.setattr(experiment.ops, "room_for_state", lambda device: 4 * 2 * 100 * 8)
    (run,) = experiment.measure(specs("op:sdpa"), CPU)
    assert {row["length"] for row in rows_of(run, "seconds_decode")} == {5}
    assert "op:sdpa: decoding after 500 tokens left out: a cache of" in capsys.readouterr().err


def test_expected_time_follows_the_time_a_token_takes(tiny):
    entry = experiment.Entry(specs()[0], CANDIDATES[OURS], experiment.ops.Sizes(2, 4), torch.float32)
    assert entry.expected(100) == 0
    entry.passes = [(100, 2.0)]
    assert entry.expected(100) == 2 and entry.expected(300) == 6
    entry.passes.append((200, 8.0))  # a token takes twice as long at twice the length
    assert entry.expected(400) == 32
    entry.passes[-1] = (200, 1.0)
    assert entry.expected(400) == 2


@pytest.mark.parametrize(("name", "stops"), [("op:gdn-transformers", False), (OURS, True)])
def test_failures_of_others_stop_one_and_ours_stop_all(tiny, monkeypatch, capsys, name, stops):
    def broken(x):
        raise RuntimeError("no kernel image")

    monkeypatch.setitem(CANDIDATES, name, dataclasses.replace(CANDIDATES[name], apply=broken))
    asked = specs(name, "op:hml-p1")
    if stops:
        with pytest.raises(RuntimeError, match="no kernel image"):
            experiment.measure(asked, CPU)
        return
    runs = {run.spec["mixer"]: run for run in experiment.measure(asked, CPU)}
    assert not rows_of(runs[name], "seconds_train") and len(rows_of(runs["op:hml-p1"], "seconds_train")) == 3
    assert "left out from 8 tokens on: RuntimeError: no kernel image" in capsys.readouterr().err


def test_specs_that_differ_otherwise_are_refused(tiny):
    one, other = specs(OURS, "op:sdpa")
    with pytest.raises(HmlcoreError, match="differ in mixer only"):
        experiment.measure([one, other | {"tokens": 64}], CPU)
    with pytest.raises(HmlcoreError, match="lengths must be whole and at least 2, got 1"):
        experiment.measure([one | {"lengths": [1]}], CPU)
    with pytest.raises(HmlcoreError, match=r"contexts must be whole and at least 1, got 0"):
        experiment.measure([one | {"contexts": [0]}], CPU)
    with pytest.raises(HmlcoreError, match="unknown op candidate 'hml'"):
        experiment.measure([one | {"mixer": "hml"}], CPU)


def test_the_table_has_ratios_floors_and_goals(tiny):
    runs = experiment.measure(specs(OURS, "op:sdpa"), CPU)
    text = op_table(runs)
    lines = [line.split() for line in text.splitlines()]
    ours = next(words for words in lines if words[:2] == ["8", OURS])
    assert ours[3] == "1.00" and ours[-1] == "hamiltonian:chunk"
    (seconds,) = (row["value"] for row in rows_of(runs[0], "seconds_train") if row["length"] == 8)
    assert float(ours[2]) == pytest.approx(1e6 * seconds / 32, rel=1e-3)
    for goal in GOALS:
        assert goal.statement in text
    assert text.count("(not measured here)") == len(GOALS)  # the goals are about longer sequences


def test_bench_runs_layers_and_ops_and_stores_whole_grids_only(tiny, store, monkeypatch, capsys):
    small = dict(
        d_model=8, heads=2, lengths=[8], tokens=16, repeats=1, share_s=9.0, decode_steps=1, limit_s=9.0
    )
    monkeypatch.setitem(layers._SETTINGS, "smoke", small)
    assert main(["bench", "--profile", "smoke", "--only", f"mixer=hml,{OURS}", "--lengths", "8"]) == 0
    out = capsys.readouterr().out
    assert (
        "not stored" in out and "hamiltonian:chunk short_conv" in out and OURS in out and "op:sdpa" not in out
    )
    assert not store.has_any("smoke", "speed") and not store.has_any("smoke", "op_speed")
    assert main(["bench", "--profile", "smoke"]) == 0
    assert len(store.load("smoke", "op_speed").hashes) == len(HERE) and store.has_any("smoke", "speed")
    assert main(["bench", "--profile", "smoke", "--only", "mixer=x"]) == 2
    assert "op:hml-p2" in capsys.readouterr().err
