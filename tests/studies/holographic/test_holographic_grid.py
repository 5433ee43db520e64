"""The grids of the holographic memory: rates are chosen alike, apart from what is tested."""

import json

import pytest
from made_up_results import fill_holographic

from hmlcore.results import Store
from hmlcore.runner.tune import tuned_rates
from hmlcore.studies import get_experiment, protocol
from hmlcore.studies.holographic import DESCRIBED, LAYER, RIVALS, grid
from hmlcore.studies.kit.comparison import task_from
from hmlcore.studies.kit.study import PROFILES
from hmlcore.studies.kit.tuning import as_stored


@pytest.mark.parametrize("profile", PROFILES)
def test_everybody_tries_the_same_rates_with_a_seed_that_is_not_tested(profile):
    tried = {}
    for spec in protocol("holographic_tuning").grid(profile):
        assert spec["seed"] == grid.TUNING and {e["split"] for e in spec["evaluate"]} == {"validation"}
        tried.setdefault((spec["task"], spec["variant"]), []).append(spec["lr"])
    # Alike at first; a best one at the edge is followed further.
    assert all({*grid._SETTINGS[profile]["lrs"]} <= {*rates} for rates in tried.values())
    assert set(tried) == {(t, v) for t in grid.TASKS for v in (LAYER, *RIVALS)} | {("recall", DESCRIBED)}
    for name in ("holographic_tasks", "holographic_ablation"):
        seeds = {spec["seed"] for spec in protocol(name).grid(profile)}
        assert grid.TUNING not in seeds and len(seeds) == (3 if profile == "smoke" else 5)


def test_what_is_tuned_differs_from_what_is_tested_in_rate_and_split_alone():
    """And in the steps of books, a third of them."""
    tested = {(s["task"], s["variant"]): s for s in protocol("holographic_tasks").grid("laptop")}
    for spec in protocol("holographic_tuning").grid("laptop"):
        if spec["variant"] != DESCRIBED:
            other = tested[spec["task"], spec["variant"]]
            shorter = 3 if spec["task"] == "bytes" else 1
            assert spec["steps"] == other["steps"] // shorter
            own = ("experiment", "seed", "lr", "evaluate", "steps", "warmup")
            assert {k: v for k, v in spec.items() if k not in own} == {
                k: v for k, v in other.items() if k not in own
            }


def test_what_tuning_chose_is_what_is_tested(tmp_path, monkeypatch):
    """Each its own rate in each task; variants of a mixer share it, also where they were not tuned."""
    found = tuned_rates(fill_holographic(Store(tmp_path), seeds=1), "laptop", "holographic_tuning")
    assert {x.lr for mixers in found.values() for x in mixers.values()} == {0.01}
    found[f"recall, {LAYER}"][LAYER] = found[f"recall, {LAYER}"][LAYER]._replace(lr=0.003)
    found[f"recall, {DESCRIBED}"]["holographic_legacy"] = found[f"recall, {LAYER}"][LAYER]._replace(lr=0.03)
    stored = {case: {m: as_stored(x) for m, x in mixers.items()} for case, mixers in found.items()}
    (tmp_path / "rates.json").write_text(json.dumps({"laptop": {"holographic_tuning": stored}}), "utf-8")
    monkeypatch.setattr(grid, "__file__", str(tmp_path / "grid.py"))
    rates = {(s["task"], s["variant"]): s["lr"] for s in grid.tasks_grid("laptop")}
    assert rates["recall", LAYER] == 0.003 and rates["recall", "attention"] == 0.01
    assert rates["copy", LAYER] == 0.01  # not tuned there: the middle one
    rates = {(s["task"], s["variant"]): s["lr"] for s in grid.parts_grid("laptop")}
    assert {rates["recall", v] for v in grid.PARTS if grid.PARTS[v][0] == LAYER} == {0.003}
    assert rates["recall", "as described and keys redrawn"] == 0.03
    assert rates["overwrite", "signs"] == 0.01


@pytest.mark.parametrize("name", ["holographic_tuning", "holographic_tasks", "holographic_ablation"])
def test_the_rows_of_a_run_can_be_told_apart_by_what_the_study_names(name):
    named = set(get_experiment(name).conditions)
    for spec in protocol(name).grid("laptop"):
        tasks = [(e["split"], task_from(e)) for e in spec["evaluate"]]
        places = [
            (split, tuple((task.conditions() | {"length": task.length}).get(c) for c in sorted(named)))
            for split, task in tasks
        ]
        assert len(set(places)) == len(places), spec["task"]


def test_an_edge_that_wins_is_tried_beyond(tmp_path, monkeypatch):
    stored = {"copy, attention": {"attention": {"lr": 0.03, "tried": [0.003, 0.01, 0.03], "seeds": [0]}}}
    (tmp_path / "rates.json").write_text(json.dumps({"laptop": {"holographic_tuning": stored}}), "utf-8")
    monkeypatch.setattr(grid, "__file__", str(tmp_path / "grid.py"))
    rates = [s["lr"] for s in grid.tuning_grid("laptop") if (s["task"], s["variant"]) == ("copy", "attention")]
    assert rates == [0.003, 0.01, 0.03, 0.1]
