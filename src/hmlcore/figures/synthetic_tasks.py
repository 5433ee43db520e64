"""Controlled tasks: accuracy against length on every one, and what each part of the first proposal does."""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.evaluation.statistics import paired_difference
from hmlcore.figures.marks import accuracy_axis, add_limit, add_seeds, doubling_axis, panels
from hmlcore.figures.style import GREY, in_order, mixer_style, rounded, stamp
from hmlcore.figures.synthetic import add_chance, add_keys, crowded
from hmlcore.figures.tables import Table, models_frame, render, unequal
from hmlcore.results import ResultSet
from hmlcore.results.text import signed
from hmlcore.results.tuning import tuned

TASKS = (
    "overwrite", "parity", "sums modulo 3", "sums modulo 5", "S3", "addition", "carrying", "recurrence",
    "adding", "copy",
)  # fmt: skip
"""In the order figures and tables list them."""
CHANCE = {"parity": 1 / 2, "sums modulo 3": 1 / 3, "sums modulo 5": 1 / 5, "S3": 1 / 6}
"""What a guess scores, where that is known."""
_METRICS = {"adding": ("within_one", "within .01"), "copy": ("exact", "whole messages")}
_NOTE = "of adding the share of sums within .01, of copy that of whole messages"
FACTORS = {
    "undamped": "A1", "fixed damping": "A1", "into both": "A2", "Euler": "A3", "energy .001": "A4",
    "energy .01": "A4", "step ½": "A5", "step ¼": "A5",
}  # fmt: skip
"""Variants of the first proposal by the number of the factor they change."""
BASE = "base"
_COLORS = {"A1": "#D55E00", "A2": "#CC79A7", "A3": "#009E73", "A4": "#0072B2", "A5": "#E69F00"}


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
    for trace in fig.data:
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


def ablations(results: ResultSet) -> go.Figure:
    """Accuracy minus that of the base with the same seed, mean over test conditions; a panel a task, a row a
    variant by the number of its factor, every seed a dot, bars their means (and from five seeds on intervals).
    """
    rows = tuned(results).metric("accuracy")
    by = rows.groupby(["task", "variant", "seed"])
    seeds, made = by["value"].mean(), by.agg(run=("spec_hash", "first"), n=("n", "sum"))
    tasks = [task for task in TASKS if task in set(rows["task"])]
    tasks += sorted(set(rows["task"]) - set(tasks))
    tasks = [task for task in tasks if (task, BASE) in seeds.index.droplevel("seed")]
    require(len(tasks) > 0, f"no results of the variant {BASE!r}")
    known = list(FACTORS)
    variants = sorted(
        set(rows["variant"]) - {BASE}, key=lambda v: (known.index(v) if v in known else len(known), v)
    )[::-1]
    titles = [f"{task} (base {seeds[task, BASE].mean():.3f})" for task in tasks]
    height = 30 * max(len(variants), 2) + 30
    fig, cells = panels(titles, "accuracy − base", "", columns=len(tasks), height=height, legend=False)
    for task, where in zip(tasks, cells, strict=True):
        fig.add_trace(_zero(len(variants)), **where)
        for height_, variant in enumerate(variants):
            if (task, variant) in seeds.index.droplevel("seed"):
                for trace in _differences(seeds[task], made.loc[task], variant, height_):
                    fig.add_trace(trace, **where)
    labels = [f"{FACTORS.get(variant, '')}  {variant}".strip() for variant in variants]
    fig.update_yaxes(tickvals=list(range(len(variants))), ticktext=labels, range=[-0.6, len(variants) - 0.4])
    fig.update_layout(margin_l=140, margin_t=44)
    return stamp(fig, results, rows["n"])


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


def _differences(scores: pd.Series, made: pd.DataFrame, variant: str, height: int) -> list[go.Scatter]:
    own, base = scores[variant], scores[BASE]
    if not set(own.index) & set(base.index):
        return []
    found = paired_difference(own.to_dict(), base.to_dict())
    color = _COLORS.get(FACTORS.get(variant, ""), GREY)
    mean, low, high, n = found.estimate
    interval = "" if low is None else f"<br>95 % t-interval {signed(low)} to {signed(high)}"
    bars = None if low is None else {"type": "data", "array": rounded([high - mean]), "color": GREY}
    shared = {
        "mode": "markers", "name": variant, "showlegend": False, "hovertemplate": "%{text}<extra></extra>"
    }  # fmt: skip
    text = [
        f"<b>{variant}</b> seed {seed}<br>{own[seed]:.4g} − {base[seed]:.4g} = {signed(difference)}"
        f"<br>n = {made.loc[(variant, seed), 'n']:,.0f}<br>hml show {made.loc[(variant, seed), 'run'][:8]}"
        f"<br>base: hml show {made.loc[(BASE, seed), 'run'][:8]}"
        for seed, difference in zip(found.seeds, found.differences, strict=True)
    ]
    return [
        go.Scatter(
            x=rounded([mean]), y=[height], error_x=bars, meta="mean",
            text=[f"<b>{variant}</b> mean of {n}: {signed(mean)}{interval}"],
            marker={"symbol": "line-ns", "size": 9, "line": {"color": color, "width": 3}}, **shared,
        ),
        go.Scatter(
            x=rounded(found.differences), y=[height] * n, meta="seeds", text=text,
            marker={"color": color, "size": 8, "opacity": 0.75}, **shared,
        ),
    ]  # fmt: skip


def _zero(rows: int) -> go.Scatter:
    return go.Scatter(
        x=[0, 0], y=[-0.6, rows - 0.4], mode="lines", line={"color": GREY, "dash": "dash", "width": 1.2},
        hovertemplate=f"{BASE}<extra></extra>", showlegend=False, meta="reference",
    )  # fmt: skip
