"""What runs cost: added up an experiment, and all together."""

import pytest
from made_up_results import copy_run, loaded, recall_run

from hmlcore.results import Store
from hmlcore.studies.kit.cost import cost_table, costs


def test_hours_are_those_of_the_runs(tmp_path):
    store = Store(tmp_path)
    for seed in range(3):
        store.write(copy_run("hml", seed))
    store.write(recall_run("gru", 0, 16, 0.01))
    results = [loaded(store, name) for name in ("copy", "recall")]
    table = costs(results).set_index("experiment")
    wall = [float(part.runs()["wall_s"].sum()) / 3600 for part in results]
    assert list(table["runs"]) == [3, 1, 4] and list(table.index) == ["copy", "recall", "all"]
    assert list(table["hours"]) == pytest.approx([*wall, sum(wall)]) and min(wall) > 0
    assert set(table["device"]) == {"CPU"}
    made = cost_table(results)
    assert "laptop profile" in made.html and f"{sum(wall):.1f}" in made.html


def test_what_is_published_has_the_costs_of_every_experiment(exported):
    text = (exported / "tables" / "costs.html").read_text()
    assert "synthetic_gradient" in text and "rotor_counting" in text
