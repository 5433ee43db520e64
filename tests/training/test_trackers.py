"""Trackers: what reaches each, what is refused before work, and that none can stop a run."""

import importlib
import sys
import types
from pathlib import Path

import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.optional import installed
from hmlcore.results import spec_hash
from hmlcore.training import trackers
from hmlcore.training.trackers import TRACKERS, check_log, open_tracker, run_name

SPEC = {"schema": 1, "experiment": "copy", "profile": "smoke", "mixer": "gru", "lr": 0.003, "seed": 2}
POINTS = [
    (5, {"loss": 1.5, "accuracy": 0.25, "lr": 0.003, "tokens_per_s": 12345.6}),
    (10, {"loss": 0.75, "accuracy": 0.5, "lr": 0.001, "tokens_per_s": 2e6, "peak_memory_bytes": 3.21e8,
          "gpu_utilisation": 0.875}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(trackers, "_given_up", set())


class StandIn(types.ModuleType):
    """A package with trackio's and W&B's interface as used here; notes every call and prints like they do."""

    def __init__(self, name, fail=()):
        super().__init__(name)
        self.calls, self._fail = [], set(fail)

    def _note(self, name, *detail):
        self.calls.append((name, *detail))
        print(f"{self.__name__} is talkative")
        if name in self._fail:
            raise ConnectionError(f"no {name}\nfor you")

    def init(self, *, project, name, group, config, resume, **more):
        self._note("init", project, name, group, dict(config), resume, more)
        return self

    def Settings(self, **settings):
        return settings

    def log(self, values, step):
        self._note("log", step, values)

    def finish(self):
        self._note("finish")


@pytest.fixture
def stand_in(monkeypatch):
    def put(name, fail=()):
        module = StandIn(name, fail)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return put


def follow(name, label="a run", points=POINTS):
    with open_tracker(name, SPEC, label) as tracker:
        for step, values in points:
            tracker.log(step, values)


def test_none_follows_nothing(capsys):
    check_log(None)
    follow(None)
    assert capsys.readouterr() == ("", "")


def test_names_tell_runs_apart():
    assert run_name(SPEC) == f"copy-gru-lr0.003-seed2-{spec_hash(SPEC)[:8]}"
    assert run_name(SPEC) != run_name(SPEC | {"direction": "causal"})


def test_the_terminal_shows_a_line_a_point(capsys):
    follow("terminal")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "a run  step 5  loss 1.5000  accuracy 0.250  12,346 tokens/s",
        "a run  step 10  loss 0.7500  accuracy 0.500  2,000,000 tokens/s  GPU 88%  peak 321 MB",
    ]
    follow("terminal", label="", points=POINTS[:1])
    assert capsys.readouterr().err.startswith(f"{run_name(SPEC)}  step 5 ")


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_services_get_the_spec_and_every_point(name, stand_in, capsys):
    service = stand_in(name)
    follow(name)
    (init, *logs, finish) = service.calls
    assert init[:6] == ("init", "hmlcore", run_name(SPEC), "copy", SPEC, "allow")
    assert logs == [("log", step, values) for step, values in POINTS]
    assert finish == ("finish",)
    if name == "wandb":  # without an id, a paused run would not go on in the same curve
        assert init[6]["id"] == run_name(SPEC)
        assert Path(init[6]["dir"]).is_dir() and Path(init[6]["dir"]).name == "runs"
    assert capsys.readouterr().out == "", "standard output is the command's own"


@pytest.mark.parametrize("where", ["init", "log", "finish"])
@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_tracker_that_fails_says_so_once_and_the_run_goes_on(name, where, stand_in, capsys):
    service = stand_in(name, fail=[where])
    follow(name)
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("hml:")]
    assert lines == [f"hml: --log {name} stopped, the run goes on: ConnectionError: no {where} for you"]
    assert sum(call[0] == where for call in service.calls) == 1, "what failed is left alone"


def test_a_service_that_cannot_be_reached_is_not_tried_before_every_run(stand_in, capsys):
    service = stand_in("wandb", fail=["init"])
    follow("wandb")
    follow("wandb")
    assert len(service.calls) == 1
    assert capsys.readouterr().err.count("hml:") == 1


def test_an_error_of_the_run_is_not_the_trackers(stand_in):
    service = stand_in("trackio")
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with pytest.raises(error), open_tracker("trackio", SPEC) as tracker:
            tracker.log(*POINTS[0])
            raise error
    assert [call[0] for call in service.calls] == ["init", "log", "finish"] * 2


def test_an_unknown_tracker_is_refused():
    with pytest.raises(
        HmlcoreError, match=r"unknown tracker in --log 'paper'; known: tensorboard, terminal, t"
    ):
        check_log("paper")
    with pytest.raises(HmlcoreError, match="unknown tracker"), open_tracker("paper", SPEC):
        raise AssertionError("work began")


@pytest.mark.parametrize("name", ["trackio", "wandb", "tensorboard"])
def test_an_absent_package_is_refused_with_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    message = rf"--log {name} needs the package '{name}', .* pip install hmlcore\[log\]"
    with pytest.raises(HmlcoreError, match=message), open_tracker(name, SPEC):
        raise AssertionError("work began")


def test_a_folder_is_no_package(tmp_path, monkeypatch):
    """W&B leaves a folder of its own name where it runs, which Python takes for a package."""
    (tmp_path / "leftover_of_a_tracker").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert importlib.import_module("leftover_of_a_tracker").__file__ is None
    monkeypatch.delitem(sys.modules, "leftover_of_a_tracker")
    assert not installed("leftover_of_a_tracker")
    assert installed("json") and not installed("no_such_package_at_all")


def test_every_tracker_explains_itself():
    assert all(kind.why for kind in TRACKERS.values())
    check_log("terminal")


def test_tensorboard_gets_curves_that_it_can_read(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    follow("tensorboard", points=POINTS[:1])
    follow("tensorboard", points=POINTS[1:])  # as after a pause
    found = EventAccumulator(str(tmp_path / "runs" / "tensorboard" / run_name(SPEC)))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(5, 1.5), (10, 0.75)]
    assert [(e.step, e.value) for e in found.Scalars("gpu_utilisation")] == [(10, 0.875)]
