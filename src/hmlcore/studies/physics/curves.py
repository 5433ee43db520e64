"""The physics of the memory: where it is stable, what it conserves, how far a gradient reaches."""

import math
from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.marks import doubling_axis, panels, traces_of, unlisted
from hmlcore.figures.style import (
    DYNAMICS,
    GREY,
    MixerStyle,
    dynamics_in_order,
    dynamics_style,
    layout_of,
    rounded,
    stamp,
)
from hmlcore.results import ResultSet
from hmlcore.results.text import three

_GATES = {"gamma": "γ", "rho": "ρ"}
_DASHES = ("solid", "dash", "dot", "dashdot")  # no friction first
_DRAWN = {"gradient_by_lag": (1e-12, 1e12), "energy": (1e-8, 1e12)}
LOST = 1.0  # a relative error that leaves nothing of the start


def reversal_error(results: ResultSet) -> go.Figure:
    """Relative error after a number of tokens and their exact inverses, against that number, log-log.

    Dotted: an error as large as the start itself, from which on lengths were not tried.
    """
    rows = _means(results, "reversal_error", "tokens")
    fig, cells = panels([""], "tokens forwards, and as many back", "‖S₀′ − S₀‖ / ‖S₀‖", height=400)
    for style, gates, dash, part in _cases(rows):
        text = [
            f"<b>{style.label}{gates}</b> {row['tokens']:,} tokens<br>error {_scientific(row['value'])}"
            f"{' (nothing is left)' if row['value'] >= LOST else ''}, n = {row['n']}"
            for row in part.to_dict("records")
        ]
        fig.add_trace(_line(style, gates, dash, part["tokens"], part["value"], text), **cells[0])
    _level(fig, rows["tokens"], LOST, "nothing of the start is left", cells[0])
    fig.update_xaxes(**_log(rows["tokens"]))
    fig.update_yaxes(type="log", exponentformat="power", dtick=1, range=[-7.6, 0.5])
    fig.update_layout(margin_l=76)
    return stamp(_legend(fig), results, rows["n"])


def gradient_by_lag(results: ResultSet) -> go.Figure:
    """Length of the gradient of an output with respect to a value, against the tokens between them, log-log."""
    rows = _means(results, "gradient_by_lag", "lag")
    fig, cells = panels([""], "lag (tokens)", "‖∂o / ∂v‖", height=400)
    for style, gates, dash, part in _cases(rows):
        text = [
            f"<b>{style.label}{gates}</b> lag {row['lag']:,}<br>gradient {_scientific(row['value'])} ± "
            f"{_scientific(row['stderr'])}, n = {row['n']}"
            for row in part.to_dict("records")
        ]
        fig.add_trace(_line(style, gates, dash, part["lag"], part["value"], text), **cells[0])
    fig.update_xaxes(**_log(rows["lag"]))
    low, high = (math.log10(x) for x in _DRAWN["gradient_by_lag"])
    # What explodes or vanishes leaves the picture: on its scale nothing else could be told apart.
    fig.update_yaxes(type="log", exponentformat="power", dtick=4, range=[low, high])
    fig.update_layout(margin_l=76)
    return stamp(_legend(fig), results, rows["n"])


def energy_by_token(results: ResultSet) -> go.Figure:
    """Energy over that at the start, against tokens: above one constant key, below keys that change."""
    rows = _means(results, "energy", "t", "keys")
    titles = {"constant": "one constant key", "changing": "another key every token"}
    fig, cells = panels(list(titles.values()), "token", "", columns=1, height=240)
    for keys, where in zip(titles, cells, strict=True):
        for style, gates, dash, part in _cases(rows[rows["keys"] == keys]):
            text = [
                f"<b>{style.label}{gates}</b> token {row['t']:,}<br>energy × {_scientific(row['value'])}"
                for row in part.to_dict("records")
            ]
            # Zero has no place on a logarithmic axis, and what is below the axis does not show.
            least = _DRAWN["energy"][0] / 1e4 if keys == "changing" else 0.0
            trace = _line(style, gates, dash, part["t"], part["value"].clip(lower=least), text)
            fig.add_trace(trace.update(mode="lines", showlegend=unlisted(fig, style.label + gates)), **where)
    fig.update_yaxes(title_text="E / E₀", rangemode="tozero", **cells[0])
    low, high = (math.log10(x) for x in _DRAWN["energy"])
    axis = {"type": "log", "exponentformat": "power", "dtick": 4, "range": [low, high]}
    fig.update_yaxes(title_text="E / E₀", **axis, **cells[1])
    return stamp(_legend(fig, titles=True), results, rows["n"])


def _means(results: ResultSet, metric: str, *places: str) -> pd.DataFrame:
    """The rows of `metric`, averaged over runs of the same dynamics, gates and places."""
    rows = results.metric(metric)
    rows = rows.assign(**{name: math.nan for name in (*_GATES, "stderr") if name not in rows})
    by = ["dynamics", *_GATES, *places]
    means = rows.groupby(by, as_index=False, dropna=False)[["value", "stderr", "n"]].mean()
    return means.astype({"n": int}).sort_values(list(places)).reset_index(drop=True)


def _cases(rows: pd.DataFrame) -> Iterator[tuple[MixerStyle, str, str, pd.DataFrame]]:
    """(style, gates in words, dash, rows) of every dynamics and friction, the least friction first."""
    for dynamics in dynamics_in_order(rows["dynamics"]):
        mine = rows[rows["dynamics"] == dynamics]
        gate = next((g for g in _GATES if mine[g].notna().any()), None)
        if gate is None:
            yield dynamics_style(dynamics), "", "solid", mine
            continue
        for number, value in enumerate(sorted(mine[gate].unique(), reverse=True)):
            dash = _DASHES[min(number, len(_DASHES) - 1)]
            yield dynamics_style(dynamics), f" {_GATES[gate]} = {value:g}", dash, mine[mine[gate] == value]


def _line(style: MixerStyle, gates: str, dash: str, x, y, text: list[str]) -> go.Scatter:
    # Euler's curves lie on the leapfrog's: a thin line with marks on a thick one shows both.
    behind = style.label == DYNAMICS["leapfrog"].label
    return go.Scatter(
        x=rounded(x, 12),
        y=rounded(y),
        mode="lines+markers",
        name=style.label + gates,
        showlegend=True,
        line={"color": style.color, "dash": dash, "width": 4 if behind else 1.8},
        marker={"symbol": style.symbol, "size": 8 if behind else 7},
        text=text,
        hovertemplate="%{text}<extra></extra>",
        meta="case",
    )


def _level(fig: go.Figure, x, y: float, text: str, where: dict) -> None:
    level = go.Scatter(
        x=[float(min(x)), float(max(x))], y=[y, y], mode="lines", showlegend=False, meta="limit",
        line={"color": GREY, "dash": "dot", "width": 1.5}, hovertemplate=f"{text}<extra></extra>",
    )  # fmt: skip
    fig.add_trace(level, **where)


def _log(values) -> dict:
    axis = doubling_axis(values)
    return axis | {"ticktext": [f"{tick:,.0f}" for tick in axis["tickvals"]]}


def _legend(fig: go.Figure, titles: bool = False) -> go.Figure:
    """`fig` with room above for a legend of one column a dynamics."""
    entries = sum(bool(trace.showlegend) for trace in traces_of(fig))
    extra = 20 * (math.ceil(entries / 3) - 1)
    fig.update_layout(height=layout_of(fig).height + extra, margin_t=layout_of(fig).margin.t + extra)
    fig.update_layout(legend={"font": {"size": 12}, "entrywidth": 0.31, "entrywidthmode": "fraction"})
    if titles:
        inside = layout_of(fig).height - layout_of(fig).margin.t - layout_of(fig).margin.b
        fig.update_layout(legend_y=1 + 30 / inside)
    return fig


def _scientific(value: float) -> str:
    """Three digits, with a power of ten where there are many more."""
    return three(value) if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.2e}"
