"""The phase portrait of one trained head on one real input, with a marker that moves through the text."""

import html

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from hmlcore.errors import require
from hmlcore.figures.marks import traces_of
from hmlcore.figures.style import FAINT, GREY, rounded, stamp, styled
from hmlcore.results.resultset import stamp as stamp_text
from hmlcore.studies.kit.figure import corpus_of, one_trace

_COLUMNS = ("t", "byte", "q", "p", "kinetic", "potential", "alpha", "beta", "gamma")
_ENERGIES = {"kinetic": "#0072B2", "potential": "#E69F00", "total": "#D55E00"}
_GATES = {
    "beta": ("write β", "#009E73"),
    "gamma": ("momentum γ", "#CC79A7"),
    "alpha": ("state α", "#56B4E9"),
}
_BEFORE, _AFTER = 36, 36
_NBSP, _ZERO = "\u00a0", "\u200b"
_NOW = "#D55E00"
_TIME = [[0, "#0072B2"], [0.5, "#009E73"], [1, "#E69F00"]]  # all of it shows on white and on black


def phase_portrait(trace: pd.DataFrame, tokens: int = 256, corpus: str | None = None) -> go.Figure:
    """Left the orbit (q, p); right the head's energy over time and, below it, its gates.

    A slider and a play button move a marker through time, and the text around that token stands on top.
    Position q and momentum p are the head's state along one pair of directions; kinetic energy ½‖P‖² and
    potential energy ½β‖kᵀQ − v‖² are of the whole head. Every token brings a potential of its own, and friction
    drains what it adds, so the total is not conserved.

    Args:
        trace: one run's trace, with columns t, byte, q, p, kinetic, potential, alpha, beta, gamma.
        tokens: how many tokens to draw, from the first.
        corpus: chooses a run where traces of several are given, see :func:`one_trace`.

    Raises:
        HmlcoreError: columns missing, traces of several runs, or an empty trace.
    """
    absent = [column for column in _COLUMNS if column not in trace]
    require(not absent, f"trace lacks the columns {absent}")
    trace = one_trace(trace, corpus)
    require(
        tokens >= 2 and len(trace) >= 2, f"a portrait needs at least 2 tokens, not {min(tokens, len(trace))}"
    )
    trace = trace.sort_values("t").head(tokens).reset_index(drop=True)
    trace = trace.assign(total=trace["kinetic"] + trace["potential"])
    text = [_character(byte) for byte in trace["byte"]]

    grid = [[{"rowspan": 2}, {}], [None, {}]]
    fig = make_subplots(
        rows=2,
        cols=2,
        specs=grid,
        column_widths=[0.45, 0.55],
        row_heights=[0.6, 0.4],
        horizontal_spacing=0.11,
        vertical_spacing=0.1,
        shared_xaxes=True,
    )
    styled(fig, height=586)
    _orbit(fig, trace, text)
    _curves(fig, trace)
    _lay_out(fig, *_move(fig, trace, text))
    head = f" · head {int(trace['head'].iloc[0])}" if "head" in trace else ""
    known = "profile" in trace
    source = stamp_text(trace) if known else "trace"
    if known and corpus_of(trace["spec"].iloc[0]):
        source += f" · {corpus_of(trace['spec'].iloc[0])}"
    return stamp(fig, f"{source}{head} · {len(trace)} tokens of one input")


def _move(fig: go.Figure, trace: pd.DataFrame, text: list[str]) -> tuple[str, int]:
    """Markers that frames move through time: the last two traces are all that a frame changes.

    Returns: the first title, and the number of frames.
    """
    times = rounded(trace["t"], 8)
    q, p, total = (rounded(trace[column]) for column in ("q", "p", "total"))
    now = {"mode": "markers", "showlegend": False, "hoverinfo": "skip"}
    ring = {"size": 15, "color": _NOW, "line": {"color": "white", "width": 2}}
    fig.add_trace(go.Scatter(x=[q[0]], y=[p[0]], marker=ring, name="now", **now), row=1, col=1)
    fig.add_trace(go.Scatter(x=[times[0]], y=[total[0]], marker=ring, name="now", **now), row=1, col=2)
    count = len(traces_of(fig))
    moving = [count - 2, count - 1]
    titles = [_around(text, i) for i in range(len(text))]
    fig.frames = [
        go.Frame(
            name=str(i),
            data=[{"x": [q[i]], "y": [p[i]]}, {"x": [times[i]], "y": [total[i]]}],
            traces=moving,
            layout={"title": {"text": titles[i]}},
        )
        for i in range(len(text))
    ]
    return titles[0], len(text)


def _lay_out(fig: go.Figure, title: str, frames: int) -> None:
    """Title, legends, slider and buttons, and the names of the axes."""
    fig.update_layout(
        title={
            "text": title,
            "font": {"family": "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace", "size": 13},
            "x": 0.5,
            "xanchor": "center",
            "y": 0.93,  # below the mode bar
            "yanchor": "top",
        },
        margin={"t": 98, "b": 178},
        legend={"x": 0.55, "font": {"size": 11}},
        legend2={**fig.layout.legend.to_plotly_json(), "x": 0.55, "y": 0.37, "font": {"size": 11}},
        sliders=[_slider(frames)],
        updatemenus=[_buttons()],
    )
    fig.update_xaxes(title_text="position q", row=1, col=1)
    fig.update_yaxes(title_text="momentum p", row=1, col=1)
    fig.update_yaxes(title_text="energy", row=1, col=2)
    fig.update_yaxes(title_text="gate", row=2, col=2)
    fig.update_xaxes(title_text="token", row=2, col=2)
    fig.add_annotation(
        text="<span style='color:#0072B2'>●</span> early <span style='color:#E69F00'>●</span> late",
        **{"x": 0, "xref": "paper", "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False},
    )


def _orbit(fig: go.Figure, trace: pd.DataFrame, text: list[str]) -> None:
    path = go.Scatter(
        x=rounded(trace["q"]),
        y=rounded(trace["p"]),
        mode="lines+markers",
        showlegend=False,
        line={"color": FAINT, "width": 1},
        marker={
            "size": 5,
            "color": rounded(trace["t"], 8),
            "colorscale": _TIME,
        },
        text=[f"token {t}: {character}" for t, character in zip(trace["t"], text, strict=True)],
        hovertemplate="%{text}<br>q %{x:.4g}, p %{y:.4g}<extra></extra>",
        name="orbit",
    )
    fig.add_trace(path, row=1, col=1)


def _curves(fig: go.Figure, trace: pd.DataFrame) -> None:
    times = rounded(trace["t"], 8)
    for name, color in _ENERGIES.items():
        line = {"color": color, "width": 2.2 if name == "total" else 1.3}
        curve = go.Scatter(x=times, y=rounded(trace[name]), mode="lines", name=name, line=line)
        fig.add_trace(curve, row=1, col=2)
    for column, (name, color) in _GATES.items():
        line = {"color": color, "width": 1.3}
        curve = go.Scatter(
            x=times, y=rounded(trace[column]), mode="lines", name=name, line=line, legend="legend2"
        )
        fig.add_trace(curve, row=2, col=2)


def _slider(count: int) -> dict:
    show = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": str(i), "method": "animate", "args": [[str(i)], show]} for i in range(count)]
    return {
        "steps": steps,
        "currentvalue": {"prefix": "token ", "font": {"size": 13}},
        "pad": {"t": 60},
        "x": 0.14,
        "len": 0.86,
        "ticklen": 0,
        "minorticklen": 0,
        "tickcolor": "rgba(0,0,0,0)",
        "font": {"size": 10},
        "bordercolor": GREY,
        "bgcolor": "rgba(128,128,128,0.3)",
    }


def _buttons() -> dict:
    play = {"frame": {"duration": 90, "redraw": True}, "fromcurrent": True, "transition": {"duration": 0}}
    stop = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    return {
        "type": "buttons",
        "direction": "left",
        "showactive": False,
        "x": 0,
        "xanchor": "left",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 78},
        "bgcolor": "rgba(128,128,128,0.15)",
        "bordercolor": GREY,
        "buttons": [
            {"label": "▶", "method": "animate", "args": [None, play]},
            {"label": "❚❚", "method": "animate", "args": [[None], stop]},
        ],
    }


def _character(byte: int) -> str:
    """One visible character for a byte: control bytes and parts of longer UTF-8 sequences are signs."""
    return {9: "→", 10: "↵", 32: "␣"}.get(byte, chr(byte) if 32 < byte < 127 else "▯")


def _around(text: list[str], i: int) -> str:
    """The text around token `i`, which is bold and always stands at the same place."""
    before = "".join(text[max(0, i - _BEFORE) : i]).replace("␣", " ").rjust(_BEFORE)
    after = "".join(text[i + 1 : i + 1 + _AFTER]).replace("␣", " ").ljust(_AFTER)
    before, now, after = (
        html.escape(part, quote=False).replace(" ", _NBSP) for part in (before, text[i], after)
    )
    # Zero-width ends: Plotly would trim the padding away.
    return f"{_ZERO}{before}<b><span style='color:{_NOW}'>{now}</span></b>{after}{_ZERO}"
