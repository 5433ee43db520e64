"""Marks that several figures share: seeds as dots with their mean, panels, axes that double."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hmlcore.figures.style import FAINT, GREY, MixerStyle, in_order, layout_of, mixer_style, rounded, styled
from hmlcore.results.statistics import MIN_SEEDS, seed_interval, wilson_interval
from hmlcore.results.text import bytes_text

_LISTED = 4  # mixers in a line of a legend that takes several


def panels(
    titles: Sequence[str], x: str, y: str, *, columns: int = 0, height: int = 300, legend: bool = True
) -> tuple[go.Figure, list[dict[str, Any]]]:
    """A styled grid of one panel a title, y axes shared, and the row and column of each panel.

    Args:
        x, y: axis titles; y stands on the left panels, x under the lowest panel of each column.
        columns: chosen by the number of panels if 0.
        height: of one panel, in pixels.
    """
    count = len(titles)
    columns = columns or (2 if count in (2, 4) else min(3, count))
    rows = math.ceil(count / columns)
    cells: list[dict[str, Any]] = [{"row": i // columns + 1, "col": i % columns + 1} for i in range(count)]
    total = rows * height + 120
    fig = make_subplots(
        rows=rows,
        cols=columns,
        specs=[[{} if r * columns + c < count else None for c in range(columns)] for r in range(rows)],
        subplot_titles=list(titles) if any(titles) else None,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=70 / total if rows > 1 else 0,
    )
    styled(fig, height=total, legend=legend)
    fig.update_annotations(font={"size": 13})
    if legend and any(titles):  # the panels' titles stand where the legend would
        fig.update_layout(margin_t=72, legend_y=1 + 30 / (total - 72 - layout_of(fig).margin.b))
    for index, where in enumerate(cells):
        if where["col"] == 1:
            fig.update_yaxes(title_text=y, **where)
        if index + columns >= count:
            fig.update_xaxes(title_text=x, **where)
    return fig, cells


def doubling_axis(values: Iterable[float]) -> dict[str, Any]:
    """Layout of a logarithmic axis with a tick at each of `values`; linear where one of them is zero."""
    ticks = sorted({float(v) for v in values})
    if ticks[0] <= 0:
        return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    return {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
        "range": [math.log10(ticks[0]) - 0.08, math.log10(ticks[-1]) + 0.08],
    }


def add_seeds(
    fig: go.Figure,
    rows: pd.DataFrame,
    x: str,
    *,
    what: str,
    binomial: bool = False,
    legend: bool | None = None,
    visible: bool = True,
    style: MixerStyle | None = None,
    where: dict,
) -> None:
    """One mixer's seeds as dots over column `x`, a line through their means, and where the seeds are enough
    for it the t-interval as a bar.

    Args:
        rows: results of one mixer, with columns seed, value, n and `x`.
        what: name of the value in the hover text.
        binomial: the value is a fraction of `n`; the hover text gives its Wilson interval.
        legend: whether the mixer is listed in the legend; by default once a figure.
        style: in place of the mixer's own, where lines are variants of one.
        where: row and column of the panel.
    """
    style = style or mixer_style(rows["mixer"].iloc[0])
    rows = rows.sort_values([x, "seed"])
    if legend is None:
        legend = unlisted(fig, style.label)
    shared = {"legendgroup": style.label, "visible": visible}
    fig.add_trace(
        go.Scatter(
            x=rounded(rows[x], 12),
            y=rounded(rows["value"]),
            mode="markers",
            name=style.label,
            showlegend=legend,
            marker={"color": style.color, "symbol": style.symbol, "size": 8, "opacity": 0.8},
            text=[_hover(row, style.label, what, binomial) for row in rows.to_dict("records")],
            hovertemplate="%{text}<extra></extra>",
            meta="seeds",
            **shared,
        ),
        **where,
    )
    fig.add_trace(_mean_line(rows, x, style).update(**shared), **where)


def _mean_line(rows: pd.DataFrame, x: str, style: MixerStyle) -> go.Scatter:
    """A line through the means of seeds over column `x`."""
    means = {at: seed_interval(group.tolist()) for at, group in rows.groupby(x)["value"]}
    bars = None
    if any(estimate.low is not None for estimate in means.values()):
        half = [0 if e.high is None else e.high - e.mean for e in means.values()]
        bars = {"type": "data", "array": rounded(half), "thickness": 1.2, "width": 3}
    return go.Scatter(
        x=rounded(means, 12),
        y=rounded(e.mean for e in means.values()),
        mode="lines",
        name=style.label,
        showlegend=False,
        line={"color": style.color, "dash": style.dash, "width": 2},
        error_y=bars,
        text=[f"<b>{style.label}</b> mean of {e.n}: {e.mean:.3g}{_interval(e)}" for e in means.values()],
        hovertemplate="%{text}<extra></extra>",
        meta="mean",
    )


def traces_of(fig: go.Figure) -> tuple[Any, ...]:
    """The traces of `fig`, of whose types plotly says nothing."""
    traces: Any = fig.data
    return traces


def unlisted(fig: go.Figure, name: str) -> bool:
    """Whether the legend of `fig` lacks `name`."""
    return all(trace.name != name or not trace.showlegend for trace in traces_of(fig))


def room_for_legend(fig: go.Figure) -> go.Figure:
    """`fig` with room above it for as many lines as its legend takes; as it is where one line is enough."""
    entries = sum(bool(trace.showlegend) for trace in traces_of(fig))
    lines = math.ceil(entries / _LISTED) if entries > 2 * _LISTED - 2 else 1
    extra = 22 * (lines - 1)
    fig.update_layout(height=layout_of(fig).height + extra, margin_t=layout_of(fig).margin.t + extra)
    return fig


def add_limit(fig: go.Figure, x: float, y: tuple[float, float], text: str, where: dict) -> None:
    """A dotted vertical line at `x`, e.g. where training ended; its meaning is in the hover text."""
    fig.add_trace(
        go.Scatter(
            x=[x, x],
            y=list(y),
            mode="lines",
            line={"color": GREY, "dash": "dot", "width": 1.5},
            hovertemplate=f"{text}<extra></extra>",
            showlegend=False,
            meta="limit",
        ),
        **where,
    )


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


def add_chance(
    fig: go.Figure, x: Iterable[float], level: float | Callable[[float], float], where: dict
) -> None:
    """A dashed grey line at the accuracy of a guess: one number, or what `level` says of each x."""
    at = sorted({float(each) for each in x})
    if callable(level):
        y, text = [level(each) for each in at], "chance: %{y:.3g}<extra></extra>"
    else:
        at, y, text = [at[0], at[-1]], [level, level], f"chance: {level:.3g}<extra></extra>"
    fig.add_scatter(
        x=at, y=rounded(y), mode="lines", line={"color": GREY, "dash": "dash", "width": 1.5}, meta="chance",
        hovertemplate=text, showlegend=False, **where,
    )  # fmt: skip


def accuracy_axis(fig: go.Figure) -> None:
    """All y axes from 0 to 1."""
    fig.update_yaxes(range=[-0.03, 1.03], tickvals=[0, 0.25, 0.5, 0.75, 1], gridcolor=FAINT)


def _hover(row: dict, label: str, what: str, binomial: bool) -> str:
    lines = [f"<b>{label}</b> seed {row['seed']}", f"{what} {row['value']:.4g}"]
    if row["n"] and binomial and row["value"] == row["value"]:
        low, high = wilson_interval(row["value"], row["n"])
        lines.append(f"Wilson 95 %: {low:.3f} to {high:.3f}, n = {row['n']:,}")
    elif row["n"]:
        lines.append(f"n = {row['n']:,}")
    lr = f"lr {row['lr']:.3g}" if row.get("lr") == row.get("lr") and row.get("lr") is not None else ""
    width = f"width {row['d_model']}" if "d_model" in row else ""
    lines.append(", ".join(filter(None, [lr, width, f"state {bytes_text(row['state_bytes'])}"])))
    if "spec_hash" in row:
        lines.append(f"hml show {row['spec_hash'][:8]}")
    return "<br>".join(lines)


def _interval(estimate) -> str:
    if estimate.low is None:
        return f" (no interval below {MIN_SEEDS} seeds)"
    return f", 95 % t-interval {estimate.low:.3g} to {estimate.high:.3g}"
