"""The phase portraits of HML's whole family: how each dynamics comes to hold one association."""

import math

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hmlcore.errors import require
from hmlcore.figures.style import (
    FAINT,
    GREY,
    dynamics_in_order,
    dynamics_style,
    layout_of,
    rounded,
    stamp,
    styled,
)
from hmlcore.results.resultset import stamp as stamp_text

_COLUMNS = ("dynamics", "t", "token", "q", "p", "second", "rest", "kinetic", "potential")
# Colors of one head's portrait on text, so that both are read alike.
_ENERGIES = {"kinetic": "#0072B2", "potential": "#E69F00"}
_TIME = [[0, "#0072B2"], [0.5, "#009E73"], [1, "#E69F00"]]
_SECOND = {"momentum": "p", "imaginary part": "Im", "change": "Δq"}
_ACROSS = 4
_LEAST = 1e-6  # of a dynamics' largest energy; less is not drawn


def phase_portraits(trace: pd.DataFrame) -> go.Figure:
    """An orbit and its energy for every dynamics, each driven by the same keys and values, which recur.

    Only the tokens that write the association followed are drawn, a section of the orbit once a period.
    Orbits: q = 1 at rest, the cross, is perfect recall of the association followed; wells that do not depend on
    keys have none. Up the other axis is the momentum; of the oscillator the imaginary part of what is recalled;
    of the delta rule, which has neither, its change by a token. Energies are the whole head's, over the largest
    of their sum; on a logarithmic axis where they run out at rest.

    Args:
        trace: one run a dynamics, with columns dynamics, t, token (0 is the one followed), q, p, second,
            rest (the q of perfect recall, or null), kinetic, potential.

    Raises:
        HmlcoreError: columns missing, or several runs of one dynamics.
    """
    absent = [column for column in _COLUMNS if column not in trace]
    require(not absent, f"trace lacks the columns {absent}")
    names = dynamics_in_order(trace["dynamics"])
    parts = [trace[trace["dynamics"] == name].sort_values("t") for name in names]
    for name, part in zip(names, parts, strict=True):
        require(not part["t"].duplicated().any(), f"trace holds several runs of {name!r}: choose one")
    count = len(parts[0])
    parts = [part[part["token"] == 0] for part in parts]
    columns = min(_ACROSS, len(parts))
    bands = math.ceil(len(parts) / columns)
    height = 400 * bands + 110
    titles = [[dynamics_style(n).label for n in names[b * columns : (b + 1) * columns]] for b in range(bands)]
    fig = make_subplots(
        rows=2 * bands,
        cols=columns,
        row_heights=[0.6, 0.4] * bands,
        specs=[
            [{} if band * columns + col < len(parts) else None for col in range(columns)]
            for band in range(bands)
            for _ in range(2)
        ],
        subplot_titles=[title for band in titles for title in (*band, *[""] * len(band))],
        horizontal_spacing=0.08,
        vertical_spacing=68 / height,
    )
    styled(fig, height=height)
    fig.update_annotations(font={"size": 13})
    for index, (name, part) in enumerate(zip(names, parts, strict=True)):
        band, col = divmod(index, columns)
        _orbit(fig, name, part, {"row": 2 * band + 1, "col": col + 1})
        _energy(fig, part, {"row": 2 * band + 2, "col": col + 1}, first=col == 0, legend=index == 0)
    fig.update_xaxes(tickfont_size=10, title_standoff=2)
    fig.update_yaxes(tickfont_size=10, title_standoff=2)
    fig.update_layout(margin={"t": 74, "l": 58}, legend_y=1 + 30 / (height - 74 - layout_of(fig).margin.b))
    fig.add_annotation(
        text="orbits: <span style='color:#0072B2'>●</span> early <span style='color:#E69F00'>●</span> late"
        "  ✕ perfect recall",
        **{"x": 1, "xref": "paper", "xanchor": "right", "y": 1, "yref": "paper", "yanchor": "bottom"},
        **{"yshift": 30, "showarrow": False, "font": {"size": 12, "color": GREY}},
    )
    return stamp(fig, f"{stamp_text(trace)} · untrained · {count} tokens of one input")


def _orbit(fig: go.Figure, name: str, part: pd.DataFrame, where: dict) -> None:
    label = dynamics_style(name).label
    second = _SECOND.get(part["second"].iloc[0], part["second"].iloc[0])
    home = {"size": 10, "symbol": "x-thin", "color": GREY, "line": {"width": 2, "color": GREY}}
    if part["rest"].notna().all():
        fig.add_trace(
            go.Scatter(
                x=[float(part["rest"].iloc[0])], y=[0], mode="markers", marker=home, meta="home",
                showlegend=False, hovertemplate="perfect recall, at rest<extra></extra>",
            ),
            **where,
        )  # fmt: skip
    fig.add_trace(
        go.Scatter(
            x=rounded(part["q"], 4),
            y=rounded(part["p"], 4),
            mode="lines+markers",
            name=label,
            showlegend=False,
            line={"color": FAINT, "width": 1},
            marker={"size": 4, "color": rounded(part["t"], 8), "colorscale": _TIME},
            text=[str(t) for t in part["t"]],
            hovertemplate=f"<b>{label}</b> token %{{text}}<br>q %{{x:.3g}}, {second} %{{y:.3g}}<extra></extra>",
            meta="orbit",
        ),
        **where,
    )
    fig.update_xaxes(title_text="q", nticks=4, **where)
    fig.update_yaxes(title_text=second, nticks=5, **where)


def _energy(fig: go.Figure, part: pd.DataFrame, where: dict, *, first: bool, legend: bool) -> None:
    largest = float((part["kinetic"] + part["potential"]).abs().max()) or 1.0
    fading = part["rest"].notna().all()
    for name, color in _ENERGIES.items():
        share = part[name] / largest
        if fading:
            share = share.clip(lower=_LEAST / 100)  # zero has no logarithm
        if (part[name] == 0).all():  # one row has no kinetic energy
            continue
        curve = go.Scatter(
            x=rounded(part["t"], 8), y=rounded(share, 4), mode="lines", name=f"{name} energy",
            legendgroup=name, showlegend=legend, line={"color": color, "width": 1.5}, meta="energy",
            hovertemplate=f"token %{{x}}<br>{name} %{{y:.3g}} of the largest<extra></extra>",
        )  # fmt: skip
        fig.add_trace(curve, **where)
    fig.update_xaxes(title_text="token", nticks=4, **where)
    if not fading:
        fig.update_yaxes(nticks=5, title_text="energy" if first else "", **where)
        return
    fig.update_yaxes(
        type="log", range=[math.log10(_LEAST), 0.3], tickvals=[1e-6, 1e-4, 1e-2, 1],
        ticktext=["10⁻⁶", "10⁻⁴", "10⁻²", "1"],
        title_text="energy" if first else "", showticklabels=first, **where,
    )  # fmt: skip
