"""A grid end to end: made, skipped, paused, resumed, failed, and its workers killed."""

import math
import multiprocessing
import os
import re
import signal
import threading
import time

import pytest
import torch
from tiny_runs import LONGER, TASK, impossible, tiny, values

from hmlcore import files
from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.metrics import evaluate
from hmlcore.models.saved import load_model
from hmlcore.results import Store, spec_hash
from hmlcore.results.pack import pack
from hmlcore.results.tuning import tuned
from hmlcore.runner import grid, run_grid
from hmlcore.runner import run as runs
from hmlcore.runner.select import label
from hmlcore.runner.verify import verify
from hmlcore.studies import get_experiment, protocol
from hmlcore.studies.kit.comparison import task_from
from hmlcore.training import Paused, Progress

pytestmark = pytest.mark.usefixtures("own_folders")


@pytest.fixture
def store(own_folders):
    return Store(own_folders / "results")


def test_a_run_leaves_its_measurements(store):
    spec = tiny()
    outcome = run_grid([spec], store)
    assert outcome.made == [label(spec)] == ["copy hml d=8 lr=0.01 seed=0"]
    assert outcome.report() == "1 made, 0 already stored"
    results = store.load("smoke", "copy")
    assert results.specs() == [spec]
    (row,) = results.runs().to_dict("records")
    assert (row["steps"], row["device"], row["mixer"]) == (6, "cpu", "hml")
    assert abs(row["parameters"] / spec["model"]["target_parameters"] - 1) <= 0.01
    assert list(results.metric("loss", split="train")["step"]) == [1, 2, 3, 4, 5, 6]
    (exact,) = results.metric("exact").to_dict("records")
    assert (exact["payload"], exact["delay"], exact["length"], exact["n"]) == (2, 6, 10, 8)
    (accuracy,) = results.metric("accuracy", split="validation").to_dict("records")
    assert (accuracy["delay"], accuracy["n"]) == (1, 16)
    assert exact["state_bytes"] == 4 * exact["state_floats"] == 4 * (2 * 4 * 4 + 3 * 24)
    assert not runs.checkpoint_path(spec).exists()


ALWAYS, HARDLY = 1e-9, 1.0  # accuracies at which a task is solved


@pytest.mark.parametrize(
    ("level", "train", "steps", "points"),
    [
        (ALWAYS, [TASK], 4, [1, 2, 3, 4]),  # solved at step 2, as many steps to cool down as to warm up
        (HARDLY, [TASK], 6, [1, 2, 3, 4, 5, 6]),
        (ALWAYS, [TASK, LONGER, TASK], 8, [3, 6, 8]),  # a point sees every task
    ],
)
def test_a_run_that_may_end_early_says_whether_and_when(level, train, steps, points, store):
    spec = tiny(steps=9 if len(train) > 1 else 6, train=train, solved_at=level)
    assert run_grid([spec], store).report() == "1 made, 0 already stored"
    results = store.load("smoke", "copy")
    assert results.runs()["steps"].tolist() == [steps]
    assert results.metric("loss", split="train")["step"].tolist() == points
    assert results.metric("solved")["value"].tolist() == [float(level == ALWAYS)]
    assert results.metric("steps_to_90")["value"].tolist() == [math.inf]
    (verdict,) = verify(store, "smoke", ["copy"], sample=1)
    assert verdict.passed and verdict.identical == verdict.values == 4
    pack(store, "smoke", "copy")
    assert store.load("smoke", "copy").metric("steps_to_90")["value"].tolist() == [math.inf]


def test_a_run_without_it_says_nothing_of_it(store):
    run_grid([tiny()], store)
    assert not {"solved", "steps_to_90"} & set(store.load("smoke", "copy").metrics)


LACKING = (
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory\nC++: ..."),
)


@pytest.mark.parametrize("error", LACKING, ids=lambda error: type(error).__name__)
def test_a_run_that_memory_does_not_suffice_for_does_not_stop_the_others(error, store, monkeypatch):
    def execute(spec, *args, **kwargs):
        if spec["mixer"] == "gru":
            raise error
        return runs.execute(spec, *args, **kwargs)

    monkeypatch.setattr(grid, "execute", execute)
    outcome = run_grid([tiny("gru"), tiny()], store)
    assert outcome.made == [label(tiny())]
    assert re.fullmatch(r"there is not enough memory( \(.+\))?", outcome.failed[label(tiny("gru"))])
    monkeypatch.setattr(grid, "execute", lambda *args, **kwargs: sum([1], "a fault of ours"))
    with pytest.raises(TypeError):
        run_grid([tiny("gru")], store)


def test_when_a_task_is_learned_is_stored(store):
    curve = [(5, 1.0, 0.2), (10, 0.5, 0.95), (15, 0.4, 0.91), (20, 0.1, 1.0)]
    rows = runs._of_the_end(Progress(curve=curve, solved=15))
    assert [(row["metric"], row["value"]) for row in rows] == [("solved", 1.0), ("steps_to_90", 10.0)]


def test_what_the_store_has_is_not_made_again(store, monkeypatch):
    specs = [tiny(seed=s) for s in range(3)]
    run_grid(specs[:2], store)
    executed = []

    def noted(spec, *args, **kwargs):
        executed.append(spec["seed"])
        return runs.execute(spec, *args, **kwargs)

    monkeypatch.setattr(grid, "execute", noted)
    outcome = run_grid(specs, store)
    assert executed == [2] and outcome.report() == "1 made, 2 already stored"
    assert run_grid(specs, store).report() == "0 made, 3 already stored" and executed == [2]


def test_two_processes_make_what_one_makes(store, own_folders):
    specs = [tiny(mixer, seed) for seed in (0, 1) for mixer in ("hml", "gru")]
    outcome = run_grid([*specs, impossible(seed=2)], store, jobs=2)
    assert sorted(outcome.made) == sorted(map(label, specs))
    assert list(outcome.failed) == [label(impossible(seed=2))]
    alone = Store(own_folders / "alone")
    run_grid(specs, alone)
    assert values(store) == pytest.approx(values(alone), rel=1e-4)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_models_of_runs_that_are_made_are_kept(jobs, store, own_folders):
    specs, folder = [tiny("gru", seed) for seed in (0, 1, 2)], own_folders / "models"
    run_grid(specs[:1], store)
    run_grid(specs, store, jobs=jobs, save_models=folder)
    names = [f"copy-{spec_hash(spec)[:16]}.safetensors" for spec in specs]
    assert sorted(p.name for p in folder.iterdir()) == sorted(names[1:])
    for spec, name in zip(specs[1:], names[1:], strict=True):
        model, extra = load_model(folder / name)
        assert extra == {"spec": spec}
        task = task_from(spec["evaluate"][0])
        scores = evaluate(model, task, "validation", 8, 4, torch.device("cpu"))
        kept = store.load("smoke", "copy").metric("accuracy", split="validation", seed=spec["seed"])
        assert kept["value"].tolist() == [scores.accuracy]


def test_a_model_that_cannot_be_kept_leaves_the_run_to_be_resumed(store, own_folders):
    spec, folder = tiny("gru"), own_folders / "models"
    folder.write_text("in the way")
    outcome = run_grid([spec], store, save_models=folder)
    assert list(outcome.failed) == [label(spec)] and "cannot write the model" in outcome.failed[label(spec)]
    assert not store.has(spec)


def test_a_budget_pauses_and_the_next_call_goes_on(store, own_folders):
    specs = [tiny(mixer, steps=100) for mixer in ("hml", "gru")]
    first = run_grid(specs, store, budget=0.05)
    assert (first.made, first.paused, first.left) == ([], [label(specs[0])], [label(specs[1])])
    assert first.report() == "0 made, 0 already stored, 1 paused, 1 not started"
    assert runs.checkpoint_path(specs[0]).exists() and not store.has_any("smoke", "copy")
    second = run_grid(specs, store)
    assert sorted(second.made) == sorted(map(label, specs))
    assert not runs.checkpoint_path(specs[0]).exists()
    unbroken = Store(own_folders / "unbroken")
    run_grid(specs, unbroken)
    assert values(store) == values(unbroken)


def test_a_damaged_checkpoint_costs_only_the_time_it_took(store, own_folders, capsys):
    """Its run begins again and comes out the same; nothing is deleted, and what the dead left goes."""
    specs = [tiny(), tiny("gru")]
    run_grid(specs, other := Store(own_folders / "other"))
    with pytest.raises(Paused):
        runs.execute(specs[0], store, deadline=0.0)
    checkpoint = runs.checkpoint_path(specs[0])
    damaged = checkpoint.read_bytes().replace(b'step\\": 1', b'step\\": 2', 1)
    checkpoint.write_bytes(damaged)
    stray = checkpoint.with_name(f".hml-{files._HOST}-{os.getpid()}-{'0' * 8}-0.tmp")
    stray.touch()
    outcome = run_grid(specs, store)
    assert (len(outcome.made), outcome.failed) == (2, {}) and values(store) == values(other)
    said = f"hml: checkpoint {checkpoint} is corrupt (its contents do not match their hash): kept as "
    assert said in capsys.readouterr().err
    (kept,) = checkpoint.parent.iterdir()
    assert kept.name == f"{checkpoint.name}.damaged" and kept.read_bytes() == damaged


def test_what_was_interrupted_comes_first(store, monkeypatch):
    specs = [tiny(seed=s, steps=300) for s in range(3)]
    run_grid(specs[2:], store, budget=0.02)
    order = []
    monkeypatch.setattr(grid, "execute", lambda spec, *a, **k: order.append(spec["seed"]))
    run_grid(specs, store)
    assert order == [2, 0, 1]


def test_a_failed_run_does_not_stop_the_others(store):
    outcome = run_grid([impossible(), tiny("nosuch"), tiny("gru"), tiny("attention")], store)
    assert len(outcome.made) == 2
    assert outcome.failed.keys() == {label(impossible()), label(tiny("nosuch"))}
    assert "target_parameters = 10 cannot be met by mixer 'hml'" in outcome.failed[label(impossible())]
    assert outcome.failed[label(tiny("nosuch"))].startswith("unknown mixer 'nosuch'; known: attention, ")
    assert outcome.report() == "2 made, 0 already stored, 2 failed"


def test_a_training_that_diverges_is_a_result_and_the_worst_of_all(store, capsys):
    specs = [tiny("hml", lr=1e30), tiny("hml", lr=1e-2)]
    assert run_grid(specs, store).report() == "2 made, 0 already stored"
    assert "lower lr = 1e+30; stored as diverged" in capsys.readouterr().err
    assert run_grid(specs, store).report() == "0 made, 2 already stored"
    results = get_experiment("copy").load(store, "smoke")
    lost = results.frame[results.frame["lr"] == 1e30]
    scores = lost[lost["split"] != "train"]
    assert len(scores) and scores["value"].isna().all()
    assert lost.loc[lost["metric"] == "diverged", "value"].tolist() == [1.0]
    assert set(tuned(results).runs()["lr"]) == {1e-2}


def test_absent_data_is_reported_before_work_and_the_rest_is_made(store, tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_DATA", str(tmp_path / "nothing"))
    without = protocol("pg19").grid("laptop")[:3]
    executed = []
    monkeypatch.setattr(grid, "execute", lambda spec, *a, **k: executed.append(spec["experiment"]))
    outcome = run_grid([*without, tiny()], store)
    assert executed == ["copy"]
    assert list(outcome.failed) == [label(s) for s in without]
    (message,) = set(outcome.failed.values())
    assert f"HMLCORE_DATA={tmp_path / 'nothing'} lacks" in message


def test_an_interrupt_keeps_finished_runs_and_starts_nothing_more(store, monkeypatch):
    specs = [tiny(seed=s) for s in range(3)]

    def interrupted(spec, *args, **kwargs):
        if spec["seed"] == 1:
            raise KeyboardInterrupt
        return runs.execute(spec, *args, **kwargs)

    monkeypatch.setattr(grid, "execute", interrupted)
    outcome = run_grid(specs, store)
    assert outcome.interrupted
    assert [outcome.made, outcome.paused, outcome.left] == [[label(s)] for s in specs]
    assert store.load("smoke", "copy").seeds == [0]


def test_no_run_is_lost_with_a_killed_worker(store):
    """As when memory runs out: what the worker had is reported as failed, what never began as not started."""
    specs = [tiny(seed=s, steps=100) for s in range(4)]

    def kill():
        deadline = time.monotonic() + 120
        while not (workers := multiprocessing.active_children()) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(workers[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome = run_grid(specs, store, jobs=2)
    killer.join()
    # Whether the other worker gets a run done before the loss is noticed is a matter of milliseconds.
    assert sorted([*outcome.made, *outcome.failed, *outcome.left]) == sorted(map(label, specs))
    assert 1 <= len(outcome.failed) <= 2
    assert all("worker process died" in message for message in outcome.failed.values())


def test_a_store_that_cannot_be_written_fails_the_run_with_one_message(own_folders):
    (own_folders / "file").write_text("in the way")
    outcome = run_grid([tiny()], Store(own_folders / "file"))
    (message,) = outcome.failed.values()
    assert message.startswith("cannot write ") and "\n" not in message


def test_a_full_run_on_a_cpu_is_refused(store):
    outcome = run_grid([tiny(profile="full")], store)
    (message,) = outcome.failed.values()
    assert "profile 'full' needs a GPU" in message or "needs committed code" in message
    assert run_grid([tiny(profile="full")], store, force=True).report() == "1 made, 0 already stored"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"jobs": 0}, "jobs must be at least 1, got 0"), ({"budget": 0}, "budget must be above 0 seconds, got 0")],
)
def test_bad_limits_are_refused(store, options, message):
    with pytest.raises(HmlcoreError, match=message):
        run_grid([tiny()], store, **options)


def test_a_checkpoint_belongs_to_its_spec():
    one, other = runs.checkpoint_path(tiny()), runs.checkpoint_path(tiny(lr=0.5))
    assert one != other and spec_hash(tiny())[:16] in one.name


def test_a_test_that_means_nothing_is_refused_before_the_training(tmp_path, monkeypatch):
    """Not after it, when there is nothing left to do but to measure."""
    monkeypatch.setattr(grid, "execute", lambda *_, **__: pytest.fail("it was trained first"))
    spec = protocol("recall").grid("smoke")[0]
    bad = {**spec, "evaluate": [*spec["evaluate"], {**spec["evaluate"][-1], "length": 4096}]}
    outcome = run_grid([bad], Store(tmp_path))
    (message,) = outcome.failed.values()
    assert "vocab must exceed length=4096" in message and not outcome.made and not list(tmp_path.rglob("*"))
