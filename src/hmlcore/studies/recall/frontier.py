"""Associative recall: accuracy against the bytes of state that hold the pairs, and against their number."""

from typing import Any

import plotly.graph_objects as go

from hmlcore.figures.marks import (
    accuracy_axis,
    add_limit,
    add_seeds,
    doubling_axis,
    panels,
    traces_of,
)
from hmlcore.figures.style import GREY, in_order, stamp
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text
from hmlcore.results.tuning import tuned


def recall_frontier(results: ResultSet) -> go.Figure:
    """Accuracy against state bytes (logarithmic), one line a mixer through its widths, a slider over pairs.

    Up and to the left is better. After Arora, Eyuboglu et al. (2023), arXiv 2312.04927.

    The state is what a mixer keeps of one sequence at the length evaluated: a growing cache for attention, a
    constant for recurrences. The slider starts at the middle number of pairs, whatever the results.
    """
    results = tuned(results)
    rows = results.metric("accuracy")
    by = ["pairs", "length"] if "length" in rows else ["pairs"]
    settings = sorted(rows[by].drop_duplicates().itertuples(index=False, name=None))
    start = (len(settings) - 1) // 2
    fig, cells = panels([""], "state of one sequence", "", height=306)
    owner = []
    for number, setting in enumerate(settings):
        part = rows[(rows[by] == list(setting)).all(axis=1)]
        for mixer in in_order(part["mixer"]):
            add_seeds(
                fig,
                part[part["mixer"] == mixer],
                "state_bytes",
                what="accuracy",
                binomial=True,
                legend=True,
                visible=number == start,
                where=cells[0],
            )
            owner += [number] * (len(traces_of(fig)) - len(owner))
    several_lengths = len({setting[0] for setting in settings}) < len(settings)
    trained = {item["pairs"] for spec in results.specs() for item in spec.get("train", []) if "pairs" in item}
    steps = []
    for number, setting in enumerate(settings):
        title = f"accuracy, {_named(setting)}"
        if trained and setting[0] > max(trained):
            title += " (more than trained on)"
        args = [{"visible": [number == mine for mine in owner]}, {"yaxis.title.text": title}]
        label = f"{setting[0]}" + (f" in {setting[1]}" if several_lengths else "")
        steps.append({"label": label, "method": "update", "args": args})
    room = 74
    fig.update_layout(sliders=[_slider(steps, start)], height=fig.layout.height + room)
    fig.update_layout(margin_b=fig.layout.margin.b + room)
    accuracy_axis(fig)
    states = sorted(set(rows["state_bytes"]))
    axis: dict[str, Any] = doubling_axis(_thinned(states)) | {"range": doubling_axis(states).get("range")}
    axis["ticktext"] = [bytes_text(tick) for tick in axis["tickvals"]]
    fig.update_xaxes(**axis)
    fig.update_yaxes(title_text=steps[start]["args"][1]["yaxis.title.text"])
    return stamp(fig, results, rows["n"])


def recall_curves(results: ResultSet) -> go.Figure:
    """Accuracy against the number of pairs, a panel a width, every seed a dot.

    The dotted line marks the most pairs of training.
    """
    results = tuned(results)
    rows = results.metric("accuracy")
    if "length" in rows:  # one dot a seed: the shortest length at each number of pairs
        rows = rows[rows["length"] == rows.groupby("pairs")["length"].transform("min")]
    widths = sorted(set(rows["d_model"])) if "d_model" in rows else [None]
    fig, cells = panels(["" if width is None else f"width {width}" for width in widths], "pairs", "accuracy")
    trained = [item["pairs"] for spec in results.specs() for item in spec.get("train", []) if "pairs" in item]
    for width, where in zip(widths, cells, strict=True):
        if trained:
            add_limit(fig, max(trained), (0, 1), f"most pairs of training: {max(trained)}", where)
        for mixer in in_order(results.mixers):
            part = rows[(rows["mixer"] == mixer) & ((width is None) | (rows.get("d_model") == width))]
            if len(part):
                add_seeds(fig, part, "pairs", what="accuracy", binomial=True, where=where)
    accuracy_axis(fig)
    fig.update_xaxes(**doubling_axis(rows["pairs"]))
    return stamp(fig, results, rows["n"])


def _named(setting: tuple) -> str:
    return f"{setting[0]} pairs" + (f" in {setting[1]} tokens" if len(setting) > 1 else "")


def _thinned(states: list[float]) -> list[float]:
    """Those of `states` that are at least a doubling apart, so that tick labels do not touch."""
    kept = states[:1]
    for state in states:
        if state >= 2 * kept[-1]:
            kept.append(state)
    return kept


def _slider(steps: list[dict], active: int) -> dict:
    return {
        "active": active,
        "steps": steps,
        "currentvalue": {"prefix": "pairs: ", "font": {"size": 13}},
        "pad": {"t": 46, "b": 0},
        "x": 0,
        "len": 1,
        "tickcolor": GREY,
        "bordercolor": GREY,
        "bgcolor": "rgba(128,128,128,0.3)",
    }
