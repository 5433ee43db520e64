"""Controlled tasks: recall against the bytes of state, and what their figures share."""

import math
from collections.abc import Iterable

import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.marks import room_for_legend
from hmlcore.figures.recall import recall_frontier
from hmlcore.figures.style import GREY, in_order, mixer_style, rounded
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text
from hmlcore.results.tuning import tuned

_VOCAB = 8192  # what recall's tokens are drawn from, where a spec is silent


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


def _bound(at: float, text: str) -> go.Scatter:
    return go.Scatter(
        x=rounded([at, at]), y=[0, 1], mode="lines+text", text=["", " information in the pairs"],
        textposition="bottom right", textfont={"color": GREY, "size": 11}, showlegend=False, meta="bound",
        line={"color": GREY, "dash": "dash", "width": 1.5}, hovertemplate=f"{text}<extra></extra>",
    )  # fmt: skip
