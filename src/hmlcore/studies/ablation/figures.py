"""What each part of the first proposal does: differences from the base, seed by seed."""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.marks import panels
from hmlcore.figures.style import GREY, rounded, stamp
from hmlcore.results import ResultSet
from hmlcore.results.statistics import paired_difference
from hmlcore.results.text import signed
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.figure import Figure

TASKS = ("overwrite", "copy")
"""In the order of the panels."""
FACTORS = {
    "undamped": "A1", "fixed damping": "A1", "into both": "A2", "Euler": "A3", "energy .001": "A4",
    "energy .01": "A4", "step ½": "A5", "step ¼": "A5",
}  # fmt: skip
"""Variants of the first proposal by the number of the factor they change."""
BASE = "base"
_COLORS = {"A1": "#D55E00", "A2": "#CC79A7", "A3": "#009E73", "A4": "#0072B2", "A5": "#E69F00"}


def ablations(results: ResultSet) -> go.Figure:
    """Accuracy minus that of the base with the same seed, mean over test conditions; a panel a task, a row a
    variant by the number of its factor, every seed a dot, bars their means (and from five seeds on intervals).
    """
    rows = tuned(results).metric("accuracy")
    by = rows.groupby(["task", "variant", "seed"])
    seeds, made = by["value"].mean(), by.agg(run=("spec_hash", "first"), n=("n", "sum"))
    tasks = [task for task in TASKS if task in set(rows["task"])]
    tasks += sorted(set(rows["task"]) - set(tasks))
    there = set(zip(rows["task"], rows["variant"], strict=True))
    tasks = [task for task in tasks if (task, BASE) in there]
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
            if (task, variant) in there:
                for trace in _differences(seeds[task], made.loc[[task]].droplevel("task"), variant, height_):
                    fig.add_trace(trace, **where)
    labels = [f"{FACTORS.get(variant, '')}  {variant}".strip() for variant in variants]
    fig.update_yaxes(tickvals=list(range(len(variants))), ticktext=labels, range=[-0.6, len(variants) - 0.4])
    fig.update_layout(margin_l=140, margin_t=44)
    return stamp(fig, results, rows["n"])


def _differences(scores: pd.Series, made: pd.DataFrame, variant: str, height: int) -> list[go.Scatter]:
    own, base = scores[variant], scores[BASE]
    if not set(own.index) & set(base.index):
        return []
    found = paired_difference(own.to_dict(), base.to_dict())
    color = _COLORS.get(FACTORS.get(variant, ""), GREY)
    mean, low, high, n = found.estimate
    bars, interval = None, ""
    if low is not None and high is not None:
        bars = {"type": "data", "array": rounded([high - mean]), "color": GREY}
        interval = f"<br>95 % t-interval {signed(low)} to {signed(high)}"
    runs = made["run"].to_dict()
    shared = {
        "mode": "markers", "name": variant, "showlegend": False, "hovertemplate": "%{text}<extra></extra>"
    }  # fmt: skip
    text = [
        f"<b>{variant}</b> seed {seed}<br>{own[seed]:.4g} − {base[seed]:.4g} = {signed(difference)}"
        f"<br>n = {made.loc[(variant, seed), 'n']:,.0f}<br>hml show {runs[variant, seed][:8]}"
        f"<br>base: hml show {runs[BASE, seed][:8]}"
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


FIGURES = {
    "ablations": Figure(
        "synthetic_ablation",
        ablations,
        "Ablations of the first proposal: accuracy minus that of the base with the same seed, mean over the "
        "test conditions, by factor: A1 damping, A2 injection, A3 integrator, A4 penalty on the energy, A5 "
        "step. Each dot is a seed, bars are their means. Overwrite has no blanks: A4 is tried on copy alone.",
    ),
}
