"""Needles over depth and length, in letters and in prose.

In letters the score is accuracy, chance one in the number of letters. In prose it is the share of texts whose
whole answer is right, one number or more, and chance that of one number.
"""

import math
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.crowd import crowded
from hmlcore.figures.marks import (
    accuracy_axis,
    add_chance,
    add_keys,
    add_limit,
    add_seeds,
    doubling_axis,
    panels,
)
from hmlcore.figures.style import BOTTOM, GREY, in_order, mixer_style, stamp, styled
from hmlcore.figures.tables import Table, models_frame, render, unequal
from hmlcore.results import ResultSet
from hmlcore.results.statistics import wilson_interval
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.figure import CROWD, SEEDS, Figure, TableOf
from hmlcore.studies.needle import SCORE

# RULER's names (Hsieh et al., arXiv 2404.06654) by needles, values, queries, haystack and scattered.
KINDS = {
    "single_1": (1, 1, 1, "noise", False),
    "single_2": (1, 1, 1, "random", False),
    "single_3": (1, 8, 1, "random", False),
    "multikey_1": (4, 1, 1, "random", False),
    "multikey_2": (1, 1, 1, "needles", False),
    "multikey_3": (1, 8, 1, "needles", False),
    "multivalue": (1, 4, 1, "random", True),
    "multiquery": (4, 1, 4, "random", False),
}
_KNOBS = ["needles", "values", "queries", "haystack", "scattered"]
_LETTERS, _DIGITS = 16, 7  # what answers are drawn from, where a spec is silent
_ROOM = 74  # pixels that a slider takes


class Form(NamedTuple):
    """How a form of the task is scored: the metric, its name, what is counted, and the score of a guess."""

    metric: str
    score: str
    unit: str
    answers: str
    chance: float


def form_of(results: ResultSet) -> Form:
    """Letters or prose, by the experiment."""
    metric, unit = SCORE[results.experiment]
    trained = [task for spec in results.specs() for task in spec.get("train", [])]
    if metric == "exact":
        digits = max((task.get("digits", _DIGITS) for task in trained), default=_DIGITS)
        return Form(metric, "whole answers", unit, "texts", 1 / (9 * 10 ** (digits - 1)))
    letters = max((task.get("letters", _LETTERS) for task in trained), default=_LETTERS)
    return Form(metric, "accuracy", unit, "answers", 1 / letters)


def needle_map(results: ResultSet) -> go.Figure:
    """Score in percent, mean over seeds: a row a mixer, a column a depth, a slider over length.

    The slider starts at the longest length. The hover text has every seed, and the Wilson interval of all
    answers together.
    """
    results, form = tuned(results), form_of(results)
    rows = _grid(results, form)
    lengths, trained = sorted(set(rows["length"])), _trained(results, "length")
    mixers = in_order(rows["mixer"])[::-1]
    fig = styled(go.Figure(), height=27 * len(mixers) + 32 + BOTTOM + _ROOM, legend=False)
    steps = []
    for number, length in enumerate(lengths):
        here = rows[rows["length"] == length]
        fig.add_trace(_map(here, mixers, form).update(visible=length == lengths[-1]))
        visible = [number == other for other in range(len(lengths))]
        times = round(length / trained, 1) if trained else 0
        beyond = f" ({times:g} times the longest trained)" if times > 1 else ""
        title = {"xaxis.title.text": f"depth of the needle in {length:,} {form.unit}{beyond}"}
        steps.append({"label": f"{length:,}", "method": "update", "args": [{"visible": visible}, title]})
    bar = {"thickness": 12, "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    fig.update_layout(
        coloraxis={"colorscale": "Cividis", "cmin": 0, "cmax": 1, "colorbar": bar},
        sliders=[_slider("length", steps, len(lengths) - 1)],
        margin={"l": 150, "b": BOTTOM + _ROOM},
    )
    fig.update_xaxes(type="category", showgrid=False, title_text=steps[-1]["args"][1]["xaxis.title.text"])
    fig.update_yaxes(type="category", showgrid=False)
    return stamp(fig, results, rows["n"])


def needle_by_length(results: ResultSet) -> go.Figure:
    """Score, mean over depths, against length; every seed a dot, HML thick.

    Dotted: the longest length of training. Dashed grey: chance.
    """
    results, form = tuned(results), form_of(results)
    rows = _grid(results, form)
    by = ["mixer", "seed", "length"]
    first = {name: (name, "first") for name in ("lr", "d_model", "state_bytes", "spec_hash") if name in rows}
    means = rows.groupby(by).agg(value=("value", "mean"), n=("n", "sum"), **first).reset_index()
    fig, (where,) = panels([""], f"length ({form.unit})", f"{form.score}, mean over depths", height=400)
    add_keys(fig, means["mixer"])
    if trained := _trained(results, "length"):
        add_limit(fig, trained, (0, 1), f"longest length of training: {trained:,}", where)
    add_chance(fig, means["length"], form.chance, where)
    for mixer in in_order(means["mixer"]):
        part = means[means["mixer"] == mixer]
        add_seeds(fig, part, "length", what=form.score, binomial=True, legend=False, where=where)
    accuracy_axis(fig)
    axis = doubling_axis(means["length"])
    axis["ticktext"] = [f"{tick:,.0f}" for tick in axis["tickvals"]]
    fig.update_xaxes(**axis)
    return stamp(crowded(fig), results, means["n"])


def ruler_table(results: ResultSet) -> Table:
    """The score on each of RULER's retrieval settings, mean over seeds; a row a mixer."""
    chosen, form = tuned(results), form_of(results)
    rows = chosen.metric(form.metric)
    rows = rows[rows["depth"].isna()] if "depth" in rows else rows
    require(len(rows) > 0, f"no {form.metric} of {results.experiment!r} without a depth")
    names = {knobs: name for name, knobs in KINDS.items()}
    if "kind" not in rows:
        kinds = [names.get(knobs, "") for knobs in rows[_KNOBS].itertuples(index=False, name=None)]
        rows = rows.assign(kind=kinds)
    means = rows.groupby(["mixer", "kind"])["value"].mean()
    lines = [
        {"mixer": mixer_style(mixer).label}
        | {kind: f"{means[mixer, kind]:.3f}" if (mixer, kind) in means else "" for kind in KINDS}
        for mixer in in_order(rows["mixer"])
    ]
    size = " and ".join(f"{length:,}" for length in sorted(set(rows["length"])))
    n = "–".join(f"{count:,}" for count in sorted({rows["n"].min(), rows["n"].max()}))
    note = f"{chosen.stamp()} · {size} {form.unit} · n = {n} {form.answers} a seed · chance {form.chance:.3g}"
    note = ". ".join([note, *unequal(models_frame(results))])
    return render(pd.DataFrame(lines), note=note, caption=f"Needles after RULER, mean {form.score} over seeds.")


def _grid(results: ResultSet, form: Form) -> pd.DataFrame:
    rows = results.metric(form.metric)
    require("depth" in rows, "results lack the column 'depth'")
    return rows[rows["depth"].notna()]


def _trained(results: ResultSet, knob: str) -> int:
    """The largest `knob` that any run trained on, 0 where none is named."""
    return max((s[knob] for spec in results.specs() for s in spec.get("train", []) if knob in s), default=0)


def _map(rows: pd.DataFrame, mixers: list[str], form: Form) -> go.Heatmap:
    cells = {at: part for at, part in rows.groupby(["mixer", "depth"])}
    depths = sorted(set(rows["depth"]))
    z = [[float(cells[m, d]["value"].mean()) if (m, d) in cells else math.nan for d in depths] for m in mixers]
    return go.Heatmap(
        x=[f"{depth:g}" for depth in depths],
        y=[mixer_style(mixer).label for mixer in mixers],
        z=[[None if value != value else round(value, 4) for value in line] for line in z],
        text=[["" if value != value else f"{100 * value:.0f}" for value in line] for line in z],
        texttemplate="%{text}",
        hovertext=[[_hover(cells[m, d], form) if (m, d) in cells else "" for d in depths] for m in mixers],
        hovertemplate="%{hovertext}<extra></extra>",
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        meta="map",
    )


def _hover(rows: pd.DataFrame, form: Form) -> str:
    row, mean, n = rows.iloc[0], rows["value"].mean(), int(rows["n"].sum())
    lines = [
        f"<b>{mixer_style(row['mixer']).label}</b> depth {row['depth']:g} of {row['length']:,} {form.unit}"
    ]
    if mean == mean and n:
        low, high = wilson_interval(mean, n)
        lines += [f"{form.score} {mean:.3f}, n = {n:,}", f"Wilson 95 %: {low:.3f} to {high:.3f}"]
    each = sorted(zip(rows["seed"], rows["value"], rows["spec_hash"], strict=True))
    return "<br>".join([*lines, *(f"seed {s}: {value:.3g}, hml show {run[:8]}" for s, value, run in each)])


def _slider(what: str, steps: list[dict], active: int) -> dict:
    return {
        "active": active, "steps": steps, "currentvalue": {"prefix": f"{what}: ", "font": {"size": 13}},
        "pad": {"t": 46, "b": 0}, "x": 0, "len": 1, "tickcolor": GREY, "bordercolor": GREY,
        "bgcolor": "rgba(128,128,128,0.3)",
    }  # fmt: skip


FIGURES = {
    "needle_map": Figure(
        "synthetic_needle",
        needle_map,
        "Needle: accuracy in percent over the depth at which the needle lies (0 where the haystack begins, 1 "
        "where it ends), a row a mixer, mean of the seeds, each of which is in the hover text with the Wilson "
        "interval of all answers; the slider sets the length.",
    ),
    "needle_by_length": Figure(
        "synthetic_needle",
        needle_by_length,
        "Needle: accuracy, mean over depths, against length. Dotted: the longest length of training; dashed "
        f"grey: chance. {CROWD} {SEEDS}",
    ),
    "needle_text_map": Figure(
        "synthetic_needle_text",
        needle_map,
        "Needle in prose: whole numbers found, in percent, over the depth at which the needle lies, a row a "
        "mixer, mean of the seeds, each of which is in the hover text with the Wilson interval of all answers; "
        "the slider sets the length.",
    ),
    "needle_text_by_length": Figure(
        "synthetic_needle_text",
        needle_by_length,
        "Needle in prose: whole numbers found, mean over depths, against length in bytes. Dotted: the longest "
        f"length of training; dashed grey: chance. {CROWD} {SEEDS}",
    ),
}

TABLES = {
    "ruler": TableOf("synthetic_needle", ruler_table),
    "ruler_text": TableOf("synthetic_needle_text", ruler_table),
}
