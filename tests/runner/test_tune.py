"""`hml tune` takes all seeds that tried every rate, keeps what was tried, and says what lies at the edge."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from made_up_results import loaded, recall_run

from hmlcore import cli
from hmlcore.errors import HmlcoreError
from hmlcore.results import Run, Store
from hmlcore.runner import tune as tuning
from hmlcore.studies import get_experiment
from hmlcore.studies.kit.study import field_values
from hmlcore.studies.kit.tuning import Tuned, as_stored, rates_to_try, read_tuned


def scored(lr, seed, value, mixer="hml", **changes):
    """A run of recall that is worth `value` on validation."""
    made = recall_run(mixer, seed, lr=lr, **changes)
    rows = [row | {"value": value} if row.get("split") == "validation" else row for row in made.rows]
    assert rows != made.rows
    return Run(made.spec, made.provenance, rows)


@pytest.fixture
def store(own_folders, monkeypatch):
    """Recall at two rates, of which the first seed alone prefers the smaller, and both the larger; a third seed
    ran at the larger only. The study's folder is beside."""
    store = Store(own_folders / "results")
    for lr, values in ((3e-3, (0.5, 0.1)), (1e-2, (0.4, 0.9))):
        for seed, value in enumerate(values):
            store.write(scored(lr, seed, value))
    store.write(scored(1e-2, 2, 0.0))
    (own_folders / "study").mkdir()
    monkeypatch.setattr(tuning, "folder_of", lambda name: own_folders / "study")
    grid_of(monkeypatch, store, own_folders / "study")
    return store


def grid_of(monkeypatch, store, folder):
    """A grid that tries what `rates_to_try` says at the width of the stored runs."""

    def grid(profile):
        found = read_tuned(folder).get(profile, {}).get("recall", {}).get("64", {}).get("hml")
        return [
            recall_run("hml", seed, lr=lr).spec for lr in rates_to_try([3e-3, 1e-2], found) for seed in (0, 1)
        ]

    monkeypatch.setattr(tuning, "protocol", lambda name: SimpleNamespace(grid=grid))


def test_all_seeds_that_tried_every_rate_choose_by_their_mean(store):
    (case,) = (case for case in tuning.tuned_rates(store, "laptop", "recall").values())
    assert case == {"hml": Tuned(1e-2, (3e-3, 1e-2), (0, 1))}


def test_rounds_of_tuning_end_and_say_what_to_run_meanwhile(store, capsys, monkeypatch):
    """The best rate is beyond the base: one more is tried, then another, then the mark remains."""
    command = "hml run recall --profile laptop --only mixer=hml lr={} d_model=64"
    for best, further in ((1e-2, 3e-2), (3e-2, 1e-1), (1e-1, None)):
        assert cli.main(["tune", "recall"]) == 0
        path, line = capsys.readouterr().out.splitlines()
        then = command.format(further) if further else "its grid tries none beyond"
        assert path.endswith("rates.json") and line.startswith(
            f"recall 64, hml: {best:g} is at the edge of 0.003, 0.01"
        )
        assert line.endswith(f"; {then}")
        for seed in (0, 1) if further else ():
            store.write(scored(further, seed, 1.0 + further))
    found = read_tuned(tuning.folder_of("recall"))["laptop"]["recall"]["64"]["hml"]
    assert found == Tuned(1e-1, (3e-3, 1e-2, 3e-2, 1e-1), (0, 1))


def test_a_case_is_called_by_its_own_task_and_not_by_what_it_trains_on(monkeypatch):
    specs = [recall_run("hml", 0, lr=3e-2, task="recall").spec]
    assert {task["task"] for task in specs[0]["train"]} == {"mqar"}
    monkeypatch.setattr(tuning, "protocol", lambda name: SimpleNamespace(grid=lambda profile: specs))
    by_task = replace(get_experiment("recall"), factors=("task",))
    monkeypatch.setattr(tuning, "get_experiment", lambda name: by_task)
    (line,) = tuning.edges("laptop", "recall", {"recall": {"hml": Tuned(1e-2, (3e-3, 1e-2))}})
    assert line.endswith("; hml run recall --profile laptop --only mixer=hml lr=0.03 task=recall")


def test_a_rate_inside_is_written_without_a_word(store, capsys):
    for seed in (0, 1):
        store.write(scored(3e-2, seed, 0.2))
    assert cli.main(["tune", "recall"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    kept = json.loads((tuning.folder_of("recall") / "rates.json").read_text())
    assert kept == {
        "laptop": {"recall": {"64": {"hml": {"lr": 1e-2, "tried": [3e-3, 1e-2, 3e-2], "seeds": [0, 1]}}}}
    }


@pytest.mark.parametrize(("value", "width"), [(0.4, "64"), (0.7, "32")])
def test_of_configurations_the_others_say_that_they_are_not_the_best(store, monkeypatch, value, width):
    chosen = replace(get_experiment("recall"), among="d_model")
    monkeypatch.setattr(tuning, "get_experiment", lambda name: chosen)
    for lr in (3e-3, 1e-2):
        store.write(scored(lr, 0, value, d_model=32))
    rates = tuning.tuned_rates(store, "laptop", "recall")
    assert {case: mixers["hml"].best for case, mixers in rates.items()} == {x: x == width for x in ("32", "64")}
    found = {case: as_stored(mixers["hml"]) for case, mixers in rates.items()}
    assert [case for case, stored in found.items() if stored.get("best", True)] == [width]


def test_a_grid_that_no_seed_has_finished_is_refused(store):
    store.write(scored(3e-2, 2, 0.2))
    with pytest.raises(HmlcoreError, match="share no seed: the grid is unfinished"):
        tuning.tuned_rates(store, "laptop", "recall")


def test_the_case_of_a_spec_is_that_of_its_stored_run(store):
    results = loaded(store, "recall")
    assert {str(v) for v in results.runs()["d_model"]} == set().union(
        *(field_values(s, "d_model") for s in results.specs())
    )
