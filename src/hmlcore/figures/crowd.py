"""Figures of many mixers: those that matter in their colors, all others in grey."""

from collections.abc import Collection
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.marks import room_for_legend, traces_of
from hmlcore.figures.style import PALE, mixer_style

COLORED = 3
"""Mixers beside HML that keep their colors among many."""


def crowded(fig: go.Figure, best: str = "highest") -> go.Figure:
    """`fig`, of many mixers, with HML and those that :func:`leaders` names in their colors and all others in
    grey, small dots and thin lines but for HML's, and room for the legend.

    Args: best, "highest" where more is better, "lowest" where less is.
    """
    own = mixer_style("hml").label
    kept = {own, *leaders(fig, best)}
    fig.update_traces(marker_size=6, marker_opacity=0.6, selector={"meta": "seeds"})
    for trace in traces_of(fig):
        if trace.meta in ("mean", "key"):
            trace.line.width = 4 if trace.name == own else 1.5
        if trace.meta in ("mean", "key", "seeds"):
            trace.zorder = 2 if trace.name == own else int(trace.name in kept)
            trace.legendrank = 1000 - int(trace.name in kept)  # 1000 is what plotly gives all
            if trace.name not in kept:
                _fade(trace)
    return room_for_legend(fig)


def faded(fig: go.Figure, kept: Collection[str]) -> go.Figure:
    """`fig` with the traces of `kept` labels in their colors, before all others in grey.

    For figures where no end of a line is best; which lines matter is the figure's to say.
    """
    for trace in traces_of(fig):
        if trace.legendgroup:
            trace.zorder = int(trace.legendgroup in kept)
            trace.legendrank = 1000 - int(trace.legendgroup in kept)
            if trace.legendgroup not in kept:
                _fade(trace)
    return fig


def leaders(fig: go.Figure, best: str = "highest") -> list[str]:
    """The labels that matter beside HML's: those whose lines end best, by their mean rank over the panels of
    `fig`; all of them where they are few."""
    own, ends = mixer_style("hml").label, []
    for trace in traces_of(fig):
        if _is_line(trace) and trace.name != own and len(trace.y):
            ends.append({"panel": trace.xaxis, "label": trace.name, "x": trace.x[-1], "y": trace.y[-1]})
    if not ends:
        return []
    table = pd.DataFrame(ends)
    table = table[table["x"] == table.groupby(["panel", "label"])["x"].transform("max")]
    ends_at = table.groupby(["panel", "label"], sort=False)["y"].mean()
    ranks = ends_at.groupby("panel").rank(ascending=best == "lowest")
    ranked = ranks.groupby("label", sort=False).mean().sort_values(kind="stable")
    return list(ranked.index) if len(ranked) <= COLORED + 1 else list(ranked.index[:COLORED])


def _is_line(trace: Any) -> bool:
    """Whether it is that of a mixer: through the means of its seeds, or of one of them."""
    return trace.meta == "mean" or (trace.meta == "seeds" and trace.mode == "lines")


def _fade(trace: Any) -> None:
    trace.line.color = trace.marker.color = PALE
    if trace.error_y.array is not None:
        trace.error_y.color = PALE
