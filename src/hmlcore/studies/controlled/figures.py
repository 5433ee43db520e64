"""Controlled tasks: accuracy against length on every one."""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.crowd import crowded
from hmlcore.figures.marks import (
    accuracy_axis,
    add_chance,
    add_keys,
    add_limit,
    add_seeds,
    doubling_axis,
    panels,
    traces_of,
)
from hmlcore.figures.style import in_order, mixer_style, stamp
from hmlcore.figures.tables import Table, models_frame, render, unequal
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.figure import CROWD, SEEDS, Figure, TableOf

TASKS = (
    "overwrite", "parity", "sums modulo 3", "sums modulo 5", "S3", "addition", "carrying", "recurrence",
    "adding", "copy",
)  # fmt: skip
"""In the order figures and tables list them."""
CHANCE = {"parity": 1 / 2, "sums modulo 3": 1 / 3, "sums modulo 5": 1 / 5, "S3": 1 / 6}
"""What a guess scores, where that is known."""
_METRICS = {"adding": ("within_one", "within .01"), "copy": ("exact", "whole messages")}
_NOTE = "of adding the share of sums within .01, of copy that of whole messages"


def tasks_by_length(results: ResultSet) -> go.Figure:
    """Accuracy against length, a panel a task; for overwrite one a number of keys, and for copy one a payload,
    there against delay: the load is not on the axis.

    Of copy the share of whole messages, of adding that of sums within .01. Every seed a dot, HML thick; dotted:
    the longest length of training; dashed grey: chance, where it is known.
    """
    results = tuned(results)
    shown = [(task, x, title, part) for task in _tasks(results) for x, title, part in _parts(results, task)]
    titles = [title for *_, title, _ in shown]
    fig, cells = panels(titles, "length or delay (tokens)", "score", columns=3, height=190)
    add_keys(fig, results.mixers)
    for (task, x, _, rows), where in zip(shown, cells, strict=True):
        trained = _longest_trained(results, task, x)
        if rows[x].min() <= trained <= rows[x].max():
            add_limit(fig, trained, (0, 1), f"longest {x} of training: {trained:,}", where)
        if task in CHANCE:
            add_chance(fig, rows[x], CHANCE[task], where)
        for mixer in in_order(rows["mixer"]):
            part = rows[rows["mixer"] == mixer]
            add_seeds(fig, part, x, what=_metric(task)[1], binomial=True, legend=False, where=where)
        axis = doubling_axis(rows[x])
        axis["ticktext"] = [f"{tick:,.0f}" for tick in axis["tickvals"]]
        fig.update_xaxes(**axis, **where)
    accuracy_axis(fig)
    fig = crowded(fig)
    fig.update_traces(marker_size=5, selector={"meta": "seeds"})
    for trace in traces_of(fig):
        if trace.meta in ("mean", "key"):
            trace.line.width = 3 if trace.name == mixer_style("hml").label else 1.2
    return stamp(fig, results, pd.concat([rows["n"] for *_, rows in shown]))


def tasks_table(results: ResultSet) -> Table:
    """The score on every task at its longest length (copy: at its longest delay), mean over seeds."""
    chosen = tuned(results)
    lines = {mixer: {"mixer": mixer_style(mixer).label} for mixer in in_order(chosen.mixers)}
    for task in _tasks(chosen):
        rows = chosen.metric(_metric(task)[0], task=task)
        rows = rows[rows["length"] == rows["length"].max()]
        means = rows.groupby("mixer")["value"].mean()
        head = f"{task}, {int(rows['length'].iloc[0]):,}"
        for mixer, line in lines.items():
            line[head] = f"{means[mixer]:.3f}" if mixer in means else ""
    note = f"{chosen.stamp()} · after each task its longest length in tokens; {_NOTE}"
    note = ". ".join([note, *_unequal(results)])
    return render(pd.DataFrame(lines.values()), note=note, caption="Controlled tasks at their longest length.")


def _tasks(results: ResultSet) -> list[str]:
    found = set(results.metric("accuracy")["task"])
    return [task for task in TASKS if task in found] + sorted(found - set(TASKS))


def _metric(task: str) -> tuple[str, str]:
    return _METRICS.get(task, ("accuracy", "accuracy"))


def _parts(results: ResultSet, task: str) -> list[tuple[str, str, pd.DataFrame]]:
    """(column on the x axis, title, rows) of the panels of a task."""
    metric, words = _metric(task)
    rows = results.metric(metric, task=task)
    named = task if metric == "accuracy" else f"{task}, {words}"
    if "keys" in rows:
        return [("length", f"{named}, {keys} keys", part) for keys, part in rows.groupby("keys")]
    if "delay" in rows:
        return [("delay", f"{task} of {load}, by delay", part) for load, part in rows.groupby("payload")]
    return [("length", named, rows)]


def _longest_trained(results: ResultSet, task: str, x: str) -> int:
    """The longest on validation, where the lengths of training are scored; 0 without it."""
    frame = results.frame
    rows = frame[(frame["split"] == "validation") & (frame["task"] == task)]
    return int(rows[x].max()) if x in rows and rows[x].notna().any() else 0


def _unequal(results: ResultSet) -> list[str]:
    remarks: dict[str, None] = {}
    for task in _tasks(results):
        remarks |= dict.fromkeys(unequal(models_frame(results.where(task=task))))
    return [f"{remark} (of at least one task)" for remark in remarks]


FIGURES = {
    "tasks_by_length": Figure(
        "synthetic_tasks",
        tasks_by_length,
        "Controlled tasks: accuracy against length, for overwrite a panel a number of keys; of copy the share "
        "of whole messages against delay, a panel a payload; of adding the share of sums within .01. Dotted: "
        f"the longest of training; dashed grey: chance, where it is known. {CROWD} {SEEDS}",
    ),
}

TABLES = {
    "synthetic_tasks_longest": TableOf("synthetic_tasks", tasks_table),
}
