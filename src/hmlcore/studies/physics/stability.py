"""Where the memory is stable: the Lyapunov exponent over the gates, a map for each dynamics."""

import math
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.marks import traces_of
from hmlcore.figures.style import BOTTOM, GREY, dynamics_in_order, dynamics_style, rounded, stamp, styled
from hmlcore.results import ResultSet
from hmlcore.results.text import three

SAFE, LIMIT, CONSTANT = "η = 1.5(1 − γ)", "η = 2(1 − γ)", "η = 2(1 + γ)"
# Blue shrinks, orange grows, as everywhere; zero is a grey that shows on white and on black pages.
_SIGNED = [[0, "#0B7FD0"], [0.42, "#2F5E86"], [0.5, "#5C5C5C"], [0.58, "#A86A1C"], [1, "#FF9A1F"]]
_SCALE = 0.005  # exponents below are drawn in proportion, larger ones by their logarithm
_TICKS = (-1.0, -0.1, -0.01, 0.0, 0.01, 0.1, 1.0)
_SIGNS = {"eta": "η", "gamma": "γ", "alpha": "α", "theta": "θ", "rho": "ρ"}
_LABEL = {"shadow": "0 0 4px black, 0 0 4px black", "color": "white", "size": 12}


class View(NamedTuple):
    """The axes of a map: columns of the results and how the reader knows them."""

    x: str
    y: str
    x_title: str
    y_title: str
    logarithmic: bool = True


_PAIR = View("eta", "gamma", "strength of a write η = βh²", "momentum kept γ")
VIEWS = {
    "leapfrog": _PAIR,
    "euler": _PAIR,
    "delta": View("eta", "alpha", "strength of a write β", "state kept α"),
    "oscillator": View("theta", "rho", "angle θ of a token's turn", "length kept ρ", logarithmic=False),
}


def lyapunov_map(results: ResultSet) -> go.Figure:
    """The largest Lyapunov exponent under random keys, over two gates; buttons choose the dynamics.

    Over η and γ stand the rule η = 1.5(1 − γ), the limit of wide keys 2(1 − γ), and the bound of one constant
    key 2(1 + γ); rings are where the exponent was measured to cross zero. The hover text gives the exponent
    with its standard error, and the tokens in which an error doubles or halves.
    """
    rows = results.metric("lyapunov")
    chosen = [d for d in dynamics_in_order(rows["dynamics"]) if d in VIEWS]
    fig = styled(go.Figure(), height=486, legend=False)
    groups = []
    for dynamics in chosen:
        traces = [_heatmap(rows[rows["dynamics"] == dynamics], dynamics)]
        if VIEWS[dynamics] is _PAIR:
            traces += [*_lines(rows[rows["dynamics"] == dynamics]), *_rings(results, dynamics)]
        before = len(traces_of(fig))
        groups.append(range(before, before + len(traces)))
        for trace in traces:
            fig.add_trace(trace.update(visible=dynamics == chosen[0]))
    fig.update_layout(coloraxis=_coloraxis(rows["value"]), margin_l=70)
    layouts = [_axes(d, rows[rows["dynamics"] == d]) for d in chosen]
    fig.update_layout(layouts[0])
    if len(chosen) > 1:
        buttons = [
            {
                "label": dynamics_style(dynamics).label,
                "method": "update",
                "args": [{"visible": [i in group for i in range(len(traces_of(fig)))]}, layout],
            }
            for dynamics, group, layout in zip(chosen, groups, layouts, strict=True)
        ]
        place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 10}}
        look = {"bgcolor": "rgba(0,0,0,0)", "bordercolor": GREY, "font": {"size": 12, "color": GREY}}
        menu = {"type": "buttons", "direction": "right", "buttons": buttons, "showactive": False}
        fig.update_layout(updatemenus=[menu | place | look], margin_t=64, margin_b=BOTTOM)
    width = ", ".join(f"{int(n)}" for n in sorted(rows["head_dim"].unique()))
    return stamp(fig, f"{results.stamp()} · keys of width {width}", rows["n"])


def _heatmap(rows: pd.DataFrame, dynamics: str) -> go.Heatmap:
    view = VIEWS[dynamics]
    rows = rows.assign(square=rows["stderr"] ** 2)
    cells = rows.groupby([view.y, view.x], as_index=False)[["value", "square"]].mean()
    cells["text"] = [_hover(v, s**0.5) for v, s in zip(cells["value"], cells["square"], strict=True)]
    values = cells.pivot(index=view.y, columns=view.x, values="value")
    text = cells.pivot(index=view.y, columns=view.x, values="text")
    place = f"{_SIGNS[view.x]} = %{{x:.3g}}, {_SIGNS[view.y]} = %{{y:.3g}}"
    return go.Heatmap(
        x=rounded(values.columns, 6),
        y=rounded(values.index, 6),
        z=[[float(f"{_drawn(v):.4g}") for v in line] for line in values.to_numpy()],
        text=text.to_numpy().tolist(),
        hovertemplate=f"<b>{dynamics_style(dynamics).label}</b> {place}<br>exponent %{{text}}<extra></extra>",
        coloraxis="coloraxis",
        meta="map",
    )


def _drawn(value: float) -> float:
    """Exponents span four decades on either side of zero."""
    return math.asinh(value / _SCALE)


def _hover(value: float, error: float) -> str:
    # An exponent within its error of zero has no time scale worth naming.
    if abs(value) <= max(2 * error, 1e-9):
        pace = "neither grows nor fades"
    else:
        pace = f"{'doubles' if value > 0 else 'halves'} every {three(math.log(2) / abs(value))} tokens"
    return f"{value:+.4f} ± {error:.4f}<br>{pace}".replace("-", "−")


def _lines(rows: pd.DataFrame) -> list[go.Scatter]:
    """White on black, so that they show on every color and both kinds of page, and where they are named."""
    low, high = float(rows["eta"].min()), float(rows["eta"].max())
    # Name: factor, sign of γ, dash, γ where the name stands.
    curves = {SAFE: (1.5, -1, "dash", 0.4), LIMIT: (2.0, -1, "solid", 0.62), CONSTANT: (2.0, 1, "dot", 0.9)}
    traces = []
    for name, (factor, sign, dash, named) in curves.items():
        points = [(factor * (1 + sign * i / 200), i / 200) for i in range(201)]
        x, y = zip(*[(eta, gamma) for eta, gamma in points if low <= eta <= high], strict=True)
        for color, width in (("black", 4.5), ("white", 1.8)):
            line = {"color": color, "width": width, "dash": dash}
            traces.append(
                go.Scatter(x=rounded(x), y=rounded(y), mode="lines", line=line, hoverinfo="skip", meta="line")
            )
        side = "middle right" if name == LIMIT else "middle left"
        label = {"x": [factor * (1 + sign * named)], "y": [named], "text": [f" {name} "], "textposition": side}
        traces.append(go.Scatter(**label, mode="text", textfont=_LABEL, hoverinfo="skip", meta="name"))
    return traces


def _rings(results: ResultSet, dynamics: str) -> list[go.Scatter]:
    if "boundary" not in results.metrics:
        return []
    width = results.metric("lyapunov", dynamics=dynamics)["head_dim"].iloc[0]
    rows = results.metric("boundary", dynamics=dynamics)
    rows = rows[(rows["head_dim"] == width) & rows["value"].notna()]
    if rows.empty:
        return []
    means = rows.groupby("gamma", as_index=False)[["value", "stderr"]].mean()
    text = [
        f"the exponent crosses zero<br>at η = {row['value']:.3g} ± {row['stderr']:.1g}, γ = {row['gamma']:g}:"
        f"<br>{row['value'] / (1 - row['gamma']):.2f} (1 − γ)"
        for row in means.to_dict("records")
    ]
    return [
        go.Scatter(
            x=rounded(means["value"]), y=rounded(means["gamma"]), mode="markers", text=text,
            hovertemplate="%{text}<extra></extra>", meta="boundary",
            marker={"color": "white", "size": 9, "line": {"color": "black", "width": 2}},
        )
    ]  # fmt: skip


def _coloraxis(values: pd.Series) -> dict:
    limit = _drawn(float(values.abs().quantile(0.98)))
    ticks = [tick for tick in _TICKS if abs(_drawn(tick)) <= limit]
    bar = {
        "title": {"text": "exponent<br>a token", "font": {"size": 12}},
        "tickfont": {"size": 11},
        "thickness": 14,
        "outlinewidth": 0,
        "tickvals": [_drawn(tick) for tick in ticks],
        "ticktext": [f"{tick:g}".replace("-", "−") for tick in ticks],
    }
    return {"colorscale": _SIGNED, "cmin": -limit, "cmax": limit, "colorbar": bar}


def _axes(dynamics: str, rows: pd.DataFrame) -> dict:
    """Layout of both axes, in full, so that one view leaves nothing of another."""
    view = VIEWS[dynamics]
    xs, ys = sorted(rows[view.x].unique()), sorted(rows[view.y].unique())
    if view.logarithmic:
        ticks = [t for t in (0.01, 0.03, 0.1, 0.3, 1.0, 3.0) if xs[0] * 0.99 <= t <= xs[-1] * 1.01]
        low, high, names = math.log10(xs[0]), math.log10(xs[-1]), [f"{t:g}" for t in ticks]
    else:
        ticks, names = [0, math.pi / 4, math.pi / 2, 3 * math.pi / 4, math.pi], ["0", "π/4", "π/2", "3π/4", "π"]
        low, high = xs[0], xs[-1]
    half_x, half_y = (high - low) / (len(xs) - 1) / 2, (ys[-1] - ys[0]) / (len(ys) - 1) / 2
    return {
        "xaxis.type": "log" if view.logarithmic else "linear",
        "xaxis.range": [low - half_x, high + half_x],
        "xaxis.tickvals": ticks,
        "xaxis.ticktext": names,
        "xaxis.title.text": f"{dynamics_style(dynamics).label} · {view.x_title}",
        "yaxis.range": [ys[0] - half_y, ys[-1] + half_y],
        "yaxis.title.text": view.y_title,
    }
