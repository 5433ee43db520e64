"""Several processes at one grid: each run is made once, and what a dead one had is taken over."""

import json
import os
import signal
import time

import pytest
from tiny_grids import GRID, context, make
from tiny_runs import tiny, values

from hmlcore import cli
from hmlcore.results import Store, claims
from hmlcore.results.claims import claimed
from hmlcore.runner import grid, load, run_grid
from hmlcore.runner import run as runs
from hmlcore.runner.select import label
from hmlcore.studies import protocol

pytestmark = [
    pytest.mark.usefixtures("own_folders"),
    pytest.mark.skipif(os.name != "posix", reason="forks and SIGKILL are POSIX"),
]


def starts(folder):
    """The runs that were begun, in order: who, which."""
    return [tuple(line.split(" ", 1)) for line in (folder / "started").read_text().splitlines()]


def left_behind(folder):
    """What is below `folder` besides results."""
    return [p.name for p in folder.rglob(".*") if p.is_file()]


def test_of_three_commands_at_once_each_makes_some(own_folders):
    forks = context()
    outcomes = forks.SimpleQueue()
    together = [forks.Process(target=make, args=(GRID, own_folders, outcomes)) for _ in range(3)]
    for process in together:
        process.start()
    found = [outcomes.get() for _ in together]
    for process in together:
        process.join()
    assert len(starts(own_folders)) == len({which for _, which in starts(own_folders)}) == len(GRID)
    assert sorted(name for outcome in found for name in outcome.made) == sorted(map(label, GRID))
    for outcome in found:
        assert not (outcome.failed or outcome.paused or outcome.left)
        assert len(outcome.made) + outcome.stored + len(outcome.elsewhere) == len(GRID)
    alone = Store(own_folders / "alone")
    run_grid(GRID, alone)
    assert values(Store(own_folders / "results")) == values(alone)
    assert left_behind(own_folders) == []


def test_what_a_killed_command_had_is_taken_over_at_once(own_folders):
    spec, store = tiny(steps=100_000), Store(own_folders / "results")
    process = context().Process(target=make, args=([spec], own_folders))
    process.start()
    while not runs.checkpoint_path(spec).exists():
        time.sleep(0.01)
    outcome = run_grid([spec], store)
    (holder,) = outcome.elsewhere.values()
    assert outcome.report() == f"0 made, 0 already stored, 1 under way elsewhere ({holder})"
    assert holder.startswith(f"process {process.pid} on ") and ", since 2" in holder
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(left_behind(own_folders / "results")) == 1
    assert run_grid([spec], store, budget=0.01).report() == "0 made, 0 already stored, 1 paused"
    assert left_behind(own_folders / "results") == []


def test_what_one_left_that_was_killed_when_its_run_was_stored_goes(own_folders):
    """Nobody makes that run again, so nobody would take its claim or its checkpoint."""
    spec, store = tiny(), Store(own_folders / "results")
    run_grid([spec], store)
    stray = store.path(spec).with_name(f".{store.path(spec).stem}.claim")
    stray.write_text(json.dumps(SIGNED | {"machine": claims._machine()}))
    runs.checkpoint_path(spec).parent.mkdir(exist_ok=True)
    runs.checkpoint_path(spec).write_bytes(b"done with")
    with store.claim(tiny(seed=1)):
        assert run_grid([spec], store).report() == "0 made, 1 already stored"
        assert len(left_behind(own_folders / "results")) == 1, "what is held stays"
    assert not stray.exists() and not runs.checkpoint_path(spec).exists()


@pytest.fixture
def claim(tmp_path):
    return tmp_path / "runs" / ".0123456789abcdef.claim"


def test_a_claim_is_held_by_one_and_gone_afterwards(claim):
    with claimed(claim) as holder:
        assert holder == ""
        with claimed(claim) as second:
            assert second.startswith(f"process {os.getpid()} on ")
        assert claim.exists()
    assert not claim.exists()
    with pytest.raises(KeyboardInterrupt), claimed(claim) as holder:
        assert holder == ""
        raise KeyboardInterrupt
    assert not claim.exists()


SIGNED = {"process": 7, "host": "ada", "machine": "another", "since": "noon"}


@pytest.mark.parametrize(
    ("text", "age_s", "held"),
    [
        (json.dumps(SIGNED), 0, "process 7 on ada, since noon"),
        (json.dumps(SIGNED), claims._DEAD_S + 1, ""),
        (json.dumps(SIGNED | {"machine": claims._machine()}), 0, ""),  # its lock is free
        ("", 0, ""),  # killed before it signed
        ("[1]", 0, ""),
        ('{"process": 7, "mach', 0, ""),
    ],
    ids=["another machine", "a dead machine", "a dead process", "unsigned", "no claim", "torn"],
)
@pytest.mark.parametrize("locks", [True, False])
def test_whose_a_claim_is_that_was_found(text, age_s, held, locks, claim, monkeypatch):
    """Without locks only its age speaks: what is fresh is held."""
    claim.parent.mkdir()
    claim.write_text(text)
    then = time.time() - age_s
    os.utime(claim, (then, then))
    if not locks:
        monkeypatch.setattr(claims, "try_lock", lambda handle: None)
        held = "process " if age_s == 0 else ""
    with claimed(claim) as holder:
        assert holder.startswith(held) and bool(holder) == bool(held)
    assert claim.exists() == bool(held)


def test_a_claim_beats(claim, monkeypatch):
    monkeypatch.setattr(claims, "_BEAT_S", 0.01)
    with claimed(claim):
        os.utime(claim, (0, 0))
        deadline = time.monotonic() + 20
        while claim.stat().st_mtime == 0:
            assert time.monotonic() < deadline, "it did not beat"
            time.sleep(0.01)


def test_timings_of_one_grid_are_taken_by_one(own_folders, monkeypatch):
    specs, store = protocol("speed").grid("smoke"), Store(own_folders / "results")
    monkeypatch.setattr(grid, "measure", lambda *_, **__: pytest.fail("it was measured twice"))
    with store.claim(specs[0]):
        outcome = run_grid(specs, store)
    assert outcome.elsewhere.keys() == set(map(label, specs)) and not outcome.made
    monkeypatch.setattr(Store, "has", lambda self, spec: (self.place("smoke", "speed").inbox).exists())
    assert run_grid(specs, Store(own_folders / "others")).report() == f"0 made, {len(specs)} already stored"


def test_who_has_the_rest_is_said_in_one_line(own_folders, capsys):
    spec = next(s for s in protocol("copy").grid("smoke") if (s["mixer"], s["seed"]) == ("gru", 0))
    with Store(own_folders / "results").claim(spec):
        assert cli.main(["run", "copy", "--only", "mixer=gru", "--seeds", "0", "--jobs", "1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith(f"0 made, 0 already stored, 1 under way elsewhere (process {os.getpid()} on ")


def test_a_chapter_waits_for_what_others_make(own_folders, monkeypatch):
    """It reads all runs of a grid."""
    specs, store = [tiny(seed=s) for s in (0, 1)], Store(own_folders / "results")
    monkeypatch.setattr(load, "protocol", lambda name: type("", (), {"grid": lambda profile: specs}))
    monkeypatch.setattr(load, "default_jobs", lambda: 1)
    held = store.claim(specs[0])
    held.__enter__()
    waited = []

    def elapse(seconds):
        waited.append(seconds)
        held.__exit__(None, None, None)

    monkeypatch.setattr(load.time, "sleep", elapse)
    assert load.results_of("copy", "smoke").seeds == [0, 1]
    assert len(waited) == 1
