"""Recall of all mixers against the bytes of state, and the least bytes that could hold the pairs."""

import math

import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.crowd import crowded
from hmlcore.figures.marks import add_keys, traces_of
from hmlcore.figures.style import GREY, rounded
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text
from hmlcore.results.tuning import tuned
from hmlcore.studies.recall.frontier import recall_frontier

_VOCAB = 8192  # what recall's tokens are drawn from, where a spec is silent


def synthetic_frontier(results: ResultSet) -> go.Figure:
    """``recall_frontier`` of all mixers, and the least bytes that could hold the pairs: log₂ of the number of
    ways to give n of K keys n different ones of V values, C(K, n) · V!/(V − n)!.
    """
    fig = recall_frontier(results)
    (slider,) = fig.layout.sliders
    before, trained = len(traces_of(fig)), [s for spec in results.specs() for s in spec.get("train", [])]
    vocab = max((task.get("vocab", _VOCAB) for task in trained), default=_VOCAB)
    numbers = sorted(set(tuned(results).metric("accuracy")["pairs"]))
    bounds = {pairs: information_bytes(pairs, vocab) for pairs in numbers}
    asked = [int(step.label.split()[0]) for step in slider.steps]
    for trace in traces_of(fig):
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


def _bound(at: float, text: str) -> go.Scatter:
    return go.Scatter(
        x=rounded([at, at]), y=[0, 1], mode="lines+text", text=["", " information in the pairs"],
        textposition="bottom right", textfont={"color": GREY, "size": 11}, showlegend=False, meta="bound",
        line={"color": GREY, "dash": "dash", "width": 1.5}, hovertemplate=f"{text}<extra></extra>",
    )  # fmt: skip
