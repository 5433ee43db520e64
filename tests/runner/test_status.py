"""`hml status` tells fresh, stale and missing results apart, and what was drawn from other runs."""

import json

import pytest
from made_up import provenance

from hmlcore import cli
from hmlcore.results import Run, Store, spec_hash
from hmlcore.runner.status import states
from hmlcore.studies import protocol

GRID = protocol("copy").grid("smoke")


@pytest.fixture
def store(own_folders):
    return Store(own_folders / "results")


def keep(store, *specs):
    for spec in specs:
        store.write(Run(spec, provenance(), [{"metric": "accuracy", "value": 0.5, "n": 2}]))


def drawn_from(store, specs):
    """As `hml figures` leaves it."""
    entry = {"results": {"copy": {"specs": [spec_hash(spec) for spec in specs]}}}
    (store.root / "smoke").mkdir(parents=True, exist_ok=True)
    (store.root / "smoke" / "sources.json").write_text(json.dumps(entry), "utf-8")


def told(capsys, *options):
    code = cli.main(["status", "copy", "recall", "--profile", "smoke", *options])
    return code, capsys.readouterr().out.splitlines()


def test_a_store_goes_from_missing_to_fresh_and_a_change_of_the_grid_makes_it_stale(store, capsys):
    code, lines = told(capsys, "--check")
    assert code == 1 and lines[1].split() == ["copy", "0", "of", str(len(GRID)), "0", "missing"]
    keep(store, *GRID[:-1])
    code, lines = told(capsys)
    assert code == 0 and lines[1].split()[1:6] == [str(len(GRID) - 1), "of", str(len(GRID)), "0", "stale"]
    assert "smoke profile: 0 fresh, 1 stale, 1 missing" in lines
    keep(store, GRID[-1])
    (state,) = states(store, "smoke", ["copy"])
    assert (state.word, state.stored, state.others) == ("fresh", len(GRID), ())
    assert cli.main(["status", "copy", "--profile", "smoke", "--check"]) == 0
    former = GRID[0] | {"seed": 99}
    keep(store, former)
    code, lines = told(capsys, "--check")
    assert code == 1 and states(store, "smoke", ["copy"])[0].word == "stale"
    assert any(
        line.endswith(f"hml pack copy --profile smoke --drop {spec_hash(former)[:16]}") for line in lines
    )


def test_what_it_says_takes_out_runs_of_an_earlier_grid_does(store, capsys):
    keep(store, *GRID, former := GRID[0] | {"seed": 99})
    (said,) = [line for line in told(capsys)[1] if "--drop" in line]
    assert cli.main(["pack", "copy", "--profile", "smoke"]) == 0
    assert cli.main(said.split("hml ")[1].split()) == 0
    assert not store.has(former) and states(store, "smoke", ["copy"])[0].word == "fresh"


def test_figures_are_as_stored_only_if_made_from_the_very_runs(store, capsys):
    keep(store, *GRID)
    assert states(store, "smoke", ["copy"])[0].drawn is None
    assert "older than the store" in told(capsys)[1][1]
    drawn_from(store, GRID)
    assert states(store, "smoke", ["copy"])[0].drawn is True and told(capsys)[1][1].endswith("as stored")
    drawn_from(store, GRID[1:])
    lines = told(capsys)[1]
    assert lines[1].endswith("older than the store")
    assert "figures and claims are renewed by: hml figures --profile smoke" in lines
    (store.root / "smoke" / "sources.json").write_text("[]", "utf-8")
    assert states(store, "smoke", ["copy"])[0].drawn is None
