"""Controlled tasks: needles over depth and length, and recall against the bytes of state."""

import math
from collections.abc import Iterable

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.evaluation.statistics import wilson_interval
from hmlcore.figures.marks import accuracy_axis, add_limit, add_seeds, doubling_axis, panels, room_for_legend
from hmlcore.figures.recall import recall_frontier
from hmlcore.figures.style import BOTTOM, GREY, in_order, mixer_style, rounded, stamp, styled
from hmlcore.figures.tables import Table, models_frame, render, unequal
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text
from hmlcore.results.tuning import tuned

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
_LETTERS, _VOCAB = 16, 8192  # what needle's answers and recall's tokens are drawn from, where a spec is silent
_ROOM = 74  # pixels that a slider takes


def needle_map(results: ResultSet) -> go.Figure:
    """Accuracy in percent, mean over seeds: a row a mixer, a column a depth, a slider over length.

    The slider starts at the longest length. The hover text has every seed, and the Wilson interval of all
    answers together.
    """
    results = tuned(results)
    rows = _grid(results)
    lengths, trained = sorted(set(rows["length"])), _trained(results, "length")
    mixers = in_order(rows["mixer"])[::-1]
    fig = styled(go.Figure(), height=27 * len(mixers) + 32 + BOTTOM + _ROOM, legend=False)
    steps = []
    for number, length in enumerate(lengths):
        here = rows[rows["length"] == length]
        fig.add_trace(_map(here, mixers).update(visible=length == lengths[-1]))
        visible = [number == other for other in range(len(lengths))]
        beyond = f" ({length / trained:g} times the longest trained)" if trained and length > trained else ""
        title = {"xaxis.title.text": f"depth of the needle in {length:,} tokens{beyond}"}
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
    """Accuracy, mean over depths, against length; every seed a dot, HML thick.

    Dotted: the longest length of training. Dashed grey: chance, one in the number of letters.
    """
    results = tuned(results)
    rows = _grid(results)
    by = ["mixer", "seed", "length"]
    first = {name: (name, "first") for name in ("lr", "d_model", "state_bytes", "spec_hash") if name in rows}
    means = rows.groupby(by).agg(value=("value", "mean"), n=("n", "sum"), **first).reset_index()
    fig, (where,) = panels([""], "length (tokens)", "accuracy, mean over depths", height=400)
    add_keys(fig, means["mixer"])
    if trained := _trained(results, "length"):
        add_limit(fig, trained, (0, 1), f"longest length of training: {trained:,}", where)
    add_chance(fig, means["length"], 1 / _letters(results), where)
    for mixer in in_order(means["mixer"]):
        part = means[means["mixer"] == mixer]
        add_seeds(fig, part, "length", what="accuracy", binomial=True, legend=False, where=where)
    accuracy_axis(fig)
    axis = doubling_axis(means["length"])
    fig.update_xaxes(**axis | {"ticktext": [f"{tick:,.0f}" for tick in axis["tickvals"]]})
    return stamp(crowded(fig), results, means["n"])


def ruler_table(results: ResultSet) -> Table:
    """Accuracy on each of RULER's retrieval settings, mean over seeds; a row a mixer."""
    chosen = tuned(results)
    rows = chosen.metric("accuracy")
    rows = rows[rows["depth"].isna()] if "depth" in rows else rows
    require(len(rows) > 0, "no accuracy of 'synthetic_needle' without a depth")
    names = {knobs: name for name, knobs in KINDS.items()}
    kinds = [names.get(knobs, "") for knobs in rows[_KNOBS].itertuples(index=False, name=None)]
    means = rows.assign(kind=kinds).groupby(["mixer", "kind"])["value"].mean()
    lines = [
        {"mixer": mixer_style(mixer).label}
        | {kind: f"{means[mixer, kind]:.3f}" if (mixer, kind) in means else "" for kind in KINDS}
        for mixer in in_order(rows["mixer"])
    ]
    size = " and ".join(f"{length:,}" for length in sorted(set(rows["length"])))
    n = "–".join(f"{count:,}" for count in sorted({rows["n"].min(), rows["n"].max()}))
    note = f"{chosen.stamp()} · {size} tokens · n = {n} answers a seed · chance {1 / _letters(results):.3f}"
    note = ". ".join([note, *unequal(models_frame(results))])
    return render(pd.DataFrame(lines), note=note, caption="Needles after RULER, mean accuracy over seeds.")


def synthetic_frontier(results: ResultSet) -> go.Figure:
    """:func:`~hmlcore.figures.recall.recall_frontier` of all mixers, and the least bytes that could hold the
    pairs: log₂ of the number of ways to give n of K keys n different ones of V values, C(K, n) · V!/(V − n)!.
    """
    fig = recall_frontier(results)
    (slider,) = fig.layout.sliders
    before, trained = len(fig.data), [s for spec in results.specs() for s in spec.get("train", [])]
    vocab = max((task.get("vocab", _VOCAB) for task in trained), default=_VOCAB)
    numbers = sorted(set(tuned(results).metric("accuracy")["pairs"]))
    bounds = {pairs: information_bytes(pairs, vocab) for pairs in numbers}
    asked = [int(step.label.split()[0]) for step in slider.steps]
    for trace in fig.data:
        trace.showlegend = False
    for pairs in asked:
        text = f"{pairs} pairs hold {8 * bounds[pairs]:,.0f} bits: {bytes_text(bounds[pairs])}"
        fig.add_trace(_bound(bounds[pairs], text).update(visible=pairs == asked[slider.active]))
    keys = add_keys(fig, results.mixers)
    for number, step in enumerate(slider.steps):
        shown = list(step.args[0]["visible"])[:before] + [number == other for other in range(len(asked))]
        step.args = [{"visible": shown + [True] * keys}, step.args[1]]
    low, high = math.log10(min(bounds.values())) - 0.1, fig.layout.xaxis.range[1]
    # Powers of four: widths of many mixers lie too close for a label each.
    ticks = [4**power for power in range(1, 20) if low <= math.log10(4**power) <= high]
    fig.update_xaxes(range=[low, high], tickvals=ticks, ticktext=[*map(bytes_text, ticks)])
    return crowded(fig)


def information_bytes(pairs: int, vocab: int) -> float:
    """Least bytes that tell apart all draws of `pairs` from ⌊vocab/2⌋ − 1 keys and the other half's values."""
    keys, values = vocab // 2 - 1, vocab - vocab // 2
    require(1 <= pairs <= keys, f"pairs must be between 1 and {keys}, not {pairs!r}")
    ways = math.log2(math.comb(keys, pairs)) + math.log2(math.perm(values, pairs))
    return ways / 8


def add_keys(fig: go.Figure, mixers: Iterable[str]) -> int:
    """List `mixers` in the legend, each as its line with its mark, and nothing else; returns how many."""
    mixers = in_order(mixers)
    for mixer in mixers:
        style = mixer_style(mixer)
        fig.add_trace(
            go.Scatter(
                x=[None], y=[None], mode="lines+markers", name=style.label, legendgroup=style.label,
                showlegend=True, meta="key", line={"color": style.color, "dash": style.dash},
                marker={"symbol": style.symbol, "size": 7},
            )
        )  # fmt: skip
    return len(mixers)


def crowded(fig: go.Figure) -> go.Figure:
    """`fig` with small dots and thin lines but for HML's, and room for a legend of many mixers."""
    fig.update_traces(marker_size=6, marker_opacity=0.6, selector={"meta": "seeds"})
    for trace in fig.data:
        if trace.meta in ("mean", "key"):
            trace.line.width = 4 if trace.name == mixer_style("hml").label else 1.5
    return room_for_legend(fig)


def add_chance(fig: go.Figure, x: Iterable[float], level: float, where: dict) -> None:
    """A dashed grey line at the accuracy of a guess."""
    x = [float(min(x)), float(max(x))]
    line = {"color": GREY, "dash": "dash", "width": 1.5}
    text = f"chance: {level:.3g}<extra></extra>"
    level = rounded([level, level])
    fig.add_trace(
        go.Scatter(x=x, y=level, mode="lines", line=line, hovertemplate=text, showlegend=False, meta="chance"),
        **where,
    )


def _grid(results: ResultSet) -> pd.DataFrame:
    rows = results.metric("accuracy")
    require("depth" in rows, "results lack the column 'depth'")
    return rows[rows["depth"].notna()]


def _trained(results: ResultSet, knob: str) -> int:
    """The largest `knob` that any run trained on, 0 where none is named."""
    return max((s[knob] for spec in results.specs() for s in spec.get("train", []) if knob in s), default=0)


def _letters(results: ResultSet) -> int:
    return max(
        (s.get("letters", _LETTERS) for spec in results.specs() for s in spec.get("train", [])),
        default=_LETTERS,
    )


def _map(rows: pd.DataFrame, mixers: list[str]) -> go.Heatmap:
    cells = {at: part for at, part in rows.groupby(["mixer", "depth"])}
    depths = sorted(set(rows["depth"]))
    z = [[float(cells[m, d]["value"].mean()) if (m, d) in cells else math.nan for d in depths] for m in mixers]
    return go.Heatmap(
        x=[f"{depth:g}" for depth in depths],
        y=[mixer_style(mixer).label for mixer in mixers],
        z=[[None if value != value else round(value, 4) for value in line] for line in z],
        text=[["" if value != value else f"{100 * value:.0f}" for value in line] for line in z],
        texttemplate="%{text}",
        hovertext=[[_hover(cells[m, d]) if (m, d) in cells else "" for d in depths] for m in mixers],
        hovertemplate="%{hovertext}<extra></extra>",
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        meta="map",
    )


def _hover(rows: pd.DataFrame) -> str:
    row, mean, n = rows.iloc[0], rows["value"].mean(), int(rows["n"].sum())
    lines = [f"<b>{mixer_style(row['mixer']).label}</b> depth {row['depth']:g} of {row['length']:,} tokens"]
    if mean == mean and n:
        low, high = wilson_interval(mean, n)
        lines += [f"accuracy {mean:.3f}, n = {n:,}", f"Wilson 95 %: {low:.3f} to {high:.3f}"]
    each = sorted(zip(rows["seed"], rows["value"], rows["spec_hash"], strict=True))
    return "<br>".join([*lines, *(f"seed {s}: {value:.3g}, hml show {run[:8]}" for s, value, run in each)])


def _bound(at: float, text: str) -> go.Scatter:
    return go.Scatter(
        x=rounded([at, at]), y=[0, 1], mode="lines+text", text=["", " information in the pairs"],
        textposition="bottom right", textfont={"color": GREY, "size": 11}, showlegend=False, meta="bound",
        line={"color": GREY, "dash": "dash", "width": 1.5}, hovertemplate=f"{text}<extra></extra>",
    )  # fmt: skip


def _slider(what: str, steps: list[dict], active: int) -> dict:
    return {
        "active": active, "steps": steps, "currentvalue": {"prefix": f"{what}: ", "font": {"size": 13}},
        "pad": {"t": 46, "b": 0}, "x": 0, "len": 1, "tickcolor": GREY, "bordercolor": GREY,
        "bgcolor": "rgba(128,128,128,0.3)",
    }  # fmt: skip
