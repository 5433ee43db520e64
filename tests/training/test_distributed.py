"""Several processes that train one model compute what one process computes, and stop and fail together."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import group_runs
import pytest
import torch
from easy import stop_at
from group_runs import KINDS, RESUMED, SCENARIOS, run, scenarios, stopped

from hmlcore import cli
from hmlcore.errors import HmlcoreError
from hmlcore.results import Store
from hmlcore.tasks import IGNORE
from hmlcore.training import SINGLE_PROCESS, process_group

HERE = Path(__file__).parent
# What a launcher says to the first of two processes.
STARTED = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}
LIMIT_S = 120  # of everything that two processes do here; it takes a fifth of that


def two_processes(command, environment):
    """Start both, and end both, whatever happens; their exit codes and what they said."""
    started = []
    try:
        for rank in ("0", "1"):
            own = environment | {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "localhost",
            }
            started.append(
                subprocess.Popen(
                    [sys.executable, *command],
                    env=own,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return [(*process.communicate(timeout=LIMIT_S), process.returncode) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def environment(folder):
    given = os.environ.get("PYTHONPATH", "")
    paths = os.pathsep.join(map(str, (HERE, HERE.parent, given)))
    own = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return (
        os.environ
        | own
        | {f"HMLCORE_{name}": str(folder / name.lower()) for name in ("RESULTS", "CHECKPOINTS")}
    )


@pytest.fixture(scope="module")
def alone():
    return {name: run(name) for name in SCENARIOS}


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    """(folder, what the first saw, what the second saw)."""
    folder = tmp_path_factory.mktemp("group")
    for name in RESUMED:
        assert (
            stopped(name, SINGLE_PROCESS, folder / f"{name}-alone", after_step=stop_at(3))[0]
            == "KeyboardInterrupt"
        )
    command = [str(HERE / "group_runs.py"), str(folder), *free_ports(3)]
    for said, complained, code in two_processes(command, environment(folder)):
        assert code == 0, complained
        assert said == ""
    return folder, *(torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1))


def assert_close(found, wanted):
    """Curves, tokens and weights; and the weights of the two processes are one process's."""
    assert [step for step, *_ in found[0]] == [step for step, *_ in wanted[0]]
    torch.testing.assert_close(torch.tensor(found[0]), torch.tensor(wanted[0]), rtol=0, atol=1e-5)
    assert found[1] == wanted[1]
    assert found[2].keys() == wanted[2].keys()
    for name, x in wanted[2].items():
        torch.testing.assert_close(found[2][name], x, rtol=0, atol=1e-5, msg=name)


def test_the_scenarios_are_hard_enough(alone):
    """Rows score differently, one process has nothing to score, training changes every weight it can."""
    counts = [
        [int((task_rows != IGNORE).sum()) for task_rows in (batch.targets[0::2], batch.targets[1::2])]
        for batch in (group_runs.Uneven().batch("train", i, 4, 1) for i in range(3))
    ]
    assert counts[0][1] == 0 < counts[0][0] and counts[1][0] != counts[1][1]
    for name, (make, _, _) in SCENARIOS.items():
        before = make().state_dict()
        moved = [not torch.allclose(x, before[k], atol=1e-3) for k, x in alone[name][2].items()]
        assert sum(moved) > len(moved) / 2, name
    assert [step for step, *_ in alone["solved"][0]] == [1, 2, 3, 4, 5, 6], "solved at step 4 of 9"


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for kind in KINDS for name in scenarios(kind)])
def test_two_processes_train_as_one(name, kind, alone, group):
    for seen in group[1:]:
        assert_close(seen[name, kind], alone[name])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RESUMED)
def test_a_checkpoint_is_good_for_any_number_of_processes(name, kind, alone, group):
    folder, *seen = group
    for saw in seen:
        assert saw["stopped", name, kind][::2] == ("KeyboardInterrupt", 3)
        assert_close(saw["resumed", name, kind], alone[name])  # one process's, by two
    steps = []
    found = run(name, checkpoint=folder / f"{name}-{kind}", run="r", after_step=steps.append)
    assert steps == [4, 5]
    assert_close(found, alone[name])


@pytest.mark.parametrize("kind", KINDS)
def test_they_stop_together(kind, group):
    folder, *seen = group
    for saw in seen:
        assert saw["interrupted", kind][::2] == ("KeyboardInterrupt", 3)  # Ctrl-C reached the first alone
        assert saw["still interrupted", kind]
        assert saw["late", kind] == ("Paused", "paused at step 1 of 5", 1)
    assert (folder / f"interrupted-{kind}").exists() and (folder / f"late-{kind}").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_they_fail_together(kind, group):
    for saw in group[1:]:
        error, message, steps = saw["unwritable", kind]
        assert (error, steps) == ("HmlcoreError", 1) and "cannot write the checkpoint" in message
        refused = saw["refused", kind]
        assert refused["batch"] == "batch_size = 3 does not divide among 2 processes"
        assert refused["energy"] == f"energy_penalty = 0.1 is for one process, without --parallel {kind}"
        assert re.fullmatch(
            r"the (loss|gradient norm) became \S+ at step \d+; lower lr = 1e\+30", refused["nan"]
        )
        assert refused["data"] == "no data here"


@pytest.mark.parametrize("kind", KINDS)
def test_a_grid_is_walked_together(kind, group, own_folders, monkeypatch):
    """Both report the same; the first measures and stores what one process would."""
    from tiny_runs import tiny, values

    from hmlcore.runner import run_grid

    folder, *seen = group
    for saw in seen:
        assert saw["grid", kind] == "2 made, 0 already stored, 1 failed"
        assert saw["interrupted grid", kind] == "0 made, 0 already stored, 1 paused, 1 not started"
    store = Store(own_folders / "store")
    run_grid([tiny(), tiny("gru")], store)
    found, wanted = values(Store(folder / f"store-{kind}")), values(store)
    assert found.keys() == wanted.keys() and len(wanted) > 20
    assert all(found[key] == pytest.approx(value, abs=1e-4) for key, value in wanted.items())
    frame = Store(folder / f"store-{kind}").load("smoke", "copy").frame
    assert set(frame["device"]) == {"2 x cpu"}


@pytest.mark.parametrize(
    ("kind", "started", "message"),
    [
        ("tensor", {}, "way to train in parallel 'tensor'"),
        ("ddp", {}, "torchrun --nproc-per-node 2 -m hmlcore.cli run copy --parallel ddp"),
        (None, STARTED, "2 processes were started, which would all do the same; add --parallel ddp or"),
    ],
)
def test_what_was_started_must_fit_what_was_asked(kind, started, message, monkeypatch):
    for name in STARTED:
        monkeypatch.delenv(name, raising=False)
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(HmlcoreError, match=re.escape(message)), process_group(kind, "run copy"):
        raise AssertionError("process_group")


def test_the_command_line_asks_for_torchrun(capsys, monkeypatch):
    for name in STARTED:
        monkeypatch.delenv(name, raising=False)
    assert cli.main(["run", "copy", "--parallel", "fsdp"]) == 2
    refused = (
        "--parallel fsdp needs processes: torchrun --nproc-per-node 2 -m hmlcore.cli run copy --parallel fsdp"
    )
    assert refused in capsys.readouterr().err


def test_one_process_started_by_torchrun_is_alone(monkeypatch):
    for name, value in (STARTED | {"WORLD_SIZE": "1"}).items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGINT)
    with process_group(None) as group:
        assert group is SINGLE_PROCESS
    assert signal.getsignal(signal.SIGINT) is before


def test_the_command_line_runs_as_a_group(group):
    """The first alone speaks, and both leave at the end of the budget."""
    (code, said), (other, nothing) = (saw["command line"] for saw in group[1:])
    assert (code, other, nothing) == (0, 0, "")
    said = said.splitlines()
    assert len(said) == 3 and said[0].endswith("1 at a time, by 2 processes each"), said
    # Nothing is trained in a hundredth of a second, and it may not even begin.
    assert re.match("0 made, 0 already stored, 1 (paused|not started)", said[1])
