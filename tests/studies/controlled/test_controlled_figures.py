"""Figures of the controlled tasks: what is drawn is what was measured."""

import pytest
from made_up_results import CONTROLLED, controlled_run, loaded

from hmlcore.results import Store
from hmlcore.studies.controlled.figures import tasks_by_length, tasks_table


def of_kind(fig, kind):
    return [trace for trace in fig.data if trace.meta == kind]


def test_tasks_have_a_panel_each_and_one_a_load(made_up_store):
    results = loaded(made_up_store, "synthetic_tasks")
    fig = tasks_by_length(results)
    titles = [note.text for note in fig.layout.annotations if note.name != "stamp"]
    assert titles == [
        "overwrite, 8 keys", "overwrite, 16 keys", "parity", "sums modulo 3", "sums modulo 5", "S3",
        "addition", "recurrence", "adding, within .01",
        "copy of 4, by delay", "copy of 8, by delay",
    ]  # fmt: skip
    wanted = []
    for task in CONTROLLED:
        metric = {"copy": "exact", "adding": "within_one"}.get(task, "accuracy")
        wanted += list(results.metric(metric, task=task)["value"])
    drawn = [y for t in of_kind(fig, "seeds") for y in t.y]
    assert sorted(drawn) == pytest.approx(sorted(wanted), abs=1e-4)
    assert sorted(t.y[0] for t in of_kind(fig, "chance")) == pytest.approx(
        [1 / 6, 1 / 5, 1 / 3, 1 / 2], abs=1e-4
    )
    widths = {t.name: t.line.width for t in of_kind(fig, "mean")}
    assert widths["HML"] > max(w for name, w in widths.items() if name != "HML")


def test_tasks_table_is_at_the_longest(made_up_store):
    results = loaded(made_up_store, "synthetic_tasks")
    html = tasks_table(results).html
    rows = results.metric("accuracy", task="parity", mixer="gru", length=1024)
    line = html[html.index("<td>GRU</td>") : html.index("<td>LSTM</td>")]
    assert f"<td>{rows['value'].mean():.3f}</td>" in line and "parity, 1,024" in html


@pytest.mark.parametrize("run", [controlled_run("gru", 4, "copy")])
def test_one_run_is_enough(tmp_path, run):
    store = Store(tmp_path)
    store.write(run)
    results = loaded(store, run.spec["experiment"])
    for function in (tasks_by_length, tasks_table):
        assert function(results) is not None
