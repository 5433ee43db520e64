"""Figures of many mixers: who keeps its color."""

import plotly.graph_objects as go
import pytest

from hmlcore.figures.crowd import COLORED, crowded, faded, leaders
from hmlcore.figures.marks import panels
from hmlcore.figures.style import PALE, mixer_style

MIXERS = ("hml", "attention", "gru", "lstm", "mamba", "hyena")
ENDS = {"hml": 0.1, "attention": 0.9, "gru": 0.2, "lstm": 0.4, "mamba": 0.6, "hyena": 0.8}


def drawn(mixers, count=1):
    """Every line begins in the opposite order of its end; of a second panel the values are tenfold."""
    fig, cells = panels([""] * count, "x", "y")
    for panel, where in enumerate(cells):
        for mixer in mixers:
            style, end = mixer_style(mixer), ENDS[mixer] * 10**panel
            for mode, meta in (("markers", "seeds"), ("lines", "mean")):
                trace = go.Scatter(x=[1, 2], y=[1 - end, end], mode=mode, name=style.label, meta=meta)
                fig.add_trace(trace.update(line_color=style.color, marker_color=style.color), **where)
    return fig


def colored(fig):
    assert {t.line.color == PALE for t in fig.data} == {t.marker.color == PALE for t in fig.data}
    return {t.name for t in fig.data if t.line.color != PALE}


@pytest.mark.parametrize(("best", "kept"), [("highest", "attention hyena mamba"), ("lowest", "gru lstm mamba")])
def test_hml_and_those_that_end_best_keep_their_colors(best, kept):
    fig = crowded(drawn(MIXERS, count=2), best)
    assert colored(fig) == {mixer_style(m).label for m in ("hml", *kept.split())}
    own, grey = ([t for t in fig.data if t.name == mixer_style(m).label] for m in ("hml", "attention"))
    if best == "lowest":
        assert {t.zorder for t in own} == {2} and {t.zorder for t in grey} == {0}
        assert grey[0].legendrank > own[0].legendrank and len(grey) == 4


def test_panels_count_alike_whatever_their_units():
    """One that leads by far in one panel and is last in the other does not come first."""
    fig = drawn(MIXERS, count=2)
    for trace in fig.data:
        if trace.name == "GRU" and trace.xaxis == "x2":
            trace.y = [0, 1000]
        if trace.name == "GRU" and trace.xaxis == "x":
            trace.y = [0, -1000]
    assert leaders(fig) == ["Attention", "Hyena", "GRU"] and len(leaders(fig)) == COLORED


def test_a_few_all_keep_their_colors():
    few = MIXERS[: COLORED + 2]
    assert colored(crowded(drawn(few))) == {mixer_style(m).label for m in few}


def test_a_figure_may_say_itself_which_lines_matter():
    fig, cells = panels([""], "x", "y")
    for mixer in ("hml", "mamba", "lstm"):
        style = mixer_style(mixer)
        line = {"color": style.color}
        fig.add_trace(
            go.Scatter(x=[1], y=[1], name=style.label, legendgroup=style.label, line=line), **cells[0]
        )
    fig.add_trace(go.Scatter(x=[1], y=[1], name="rings", line={"color": "black"}), **cells[0])
    faded(fig, [mixer_style("hml").label, mixer_style("lstm").label])
    colors = [mixer_style("hml").color, PALE, mixer_style("lstm").color, "black"]
    assert [trace.line.color for trace in fig.data] == colors
    assert [trace.zorder for trace in fig.data] == [1, 0, 1, None]
