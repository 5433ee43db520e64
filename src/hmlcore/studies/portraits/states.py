"""What a memory holds: its state while it reads, and how large it is at every length."""

import html
import math
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.marks import panels, traces_of
from hmlcore.figures.style import in_order, mixer_style, stamp
from hmlcore.results.resultset import stamp as stamp_text

_COLUMNS = ("mixer", "t", "token", "component", "value", "floats")
# Zero is a grey that stands out from white and from black pages, where nothing at all is stored yet.
_SIGNED = [[0, "#35B7FF"], [0.5, "#5C5C5C"], [1, "#FF9A1F"]]
_MONOSPACE = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_WRAP, _LINE = 100, 16  # characters of a line of text, and pixels


def memory_states(trace: pd.DataFrame) -> go.Figure:
    """One picture of each mixer's state while it reads one input: tokens across, components of the state up.

    Color is the value, each panel scaled by its own 95th percentile of magnitude. Where a growing state has no
    such component yet the panel is empty. The title says how many floats the whole state has at the end.

    Args:
        trace: one run a mixer, with columns mixer, t, token, component, value, floats.

    Raises:
        HmlcoreError: columns missing, or several runs of one mixer.
    """
    absent = [column for column in _COLUMNS if column not in trace]
    require(not absent, f"trace lacks the columns {absent}")
    mixers = in_order(trace["mixer"])
    parts = [trace[trace["mixer"] == mixer].sort_values(["t", "component"]) for mixer in mixers]
    for mixer, part in zip(mixers, parts, strict=True):
        runs = part["spec_hash"].nunique() if "spec_hash" in part else 1
        require(runs == 1, f"trace holds {runs} runs of {mixer!r}: choose one")
    columns = min(3, len(mixers))
    titles = [_title(part) for part in parts]
    fig, cells = panels(titles, "token", "component", columns=columns, height=180, legend=False)
    for part, where in zip(parts, cells, strict=True):
        fig.add_trace(_heatmap(part), **where)
    first = traces_of(fig)[0]
    first.update(showscale=True, colorbar=_colorbar(fig, first.zmax, cells))
    fig.update_annotations(font_size=12)
    tokens = parts[0].drop_duplicates("t")["token"]
    places = range(0, len(tokens), 20 if len(tokens) > 30 else 10)
    fig.update_xaxes(type="category", tickvals=list(places), ticktext=[str(t) for t in places])
    fig.update_xaxes(showgrid=False, tickangle=0)
    fig.update_yaxes(tickvals=[0, 20, 40], showgrid=False)
    _with_text(fig, " ".join(tokens))
    return stamp(fig, f"{stamp_text(trace)} · {len(tokens)} tokens of one input")


def _title(part: pd.DataFrame) -> str:
    first, last = int(part["floats"].iloc[0]), int(part["floats"].iloc[-1])
    size = f"{last:,} floats" + (", growing" if last > first else "")
    return f"{mixer_style(part['mixer'].iloc[0]).label}: {size}"


def _heatmap(part: pd.DataFrame) -> go.Heatmap:
    values = part.pivot(index="component", columns="t", values="value").astype(float)
    sizes = pd.Series(values.abs().to_numpy().ravel())
    scale = float(sizes.quantile(0.95)) if sizes.notna().any() else 0.0
    scale = scale if scale > 0 and math.isfinite(scale) else 1.0
    digits = 2 - math.floor(math.log10(scale))  # a hundredth of the scale: more cannot be seen
    tokens = part.drop_duplicates("t")["token"]
    return go.Heatmap(
        # Categories: the hover text can name the token, and a token that comes twice stays two.
        x=[f"{t} {token}" for t, token in enumerate(tokens)],
        z=[[_short(v, digits) for v in line] for line in values.to_numpy()],
        zmin=-scale,
        zmax=scale,
        colorscale=_SIGNED,
        hoverongaps=False,
        hovertemplate="token %{x}<br>component %{y}<br>value %{z}<extra></extra>",
        showscale=False,
    )


def _colorbar(fig: go.Figure, scale: float, cells: list[dict]) -> dict:
    """Of all panels, in the empty last cell of the grid; on the right where there is none."""
    marks = {"tickvals": [-scale, 0, scale], "ticktext": ["negative", "0", "positive"], "thickness": 10}
    title = {"text": "value, each panel<br>to its own scale", "font": {"size": 11}}
    columns = max(where["col"] for where in cells)
    if len(cells) % columns == 0:
        return marks | {"title": title}
    at: Any = fig.get_subplot
    right, low = at(1, columns).xaxis.domain, at(cells[-1]["row"], 1).yaxis.domain
    place = {"x": sum(right) / 2, "xanchor": "center", "y": sum(low) / 2, "yanchor": "middle"}
    size = {"orientation": "h", "lenmode": "pixels", "len": 190, "tickfont": {"size": 11}}
    return marks | place | size | {"title": title | {"side": "top"}}


def _short(value: float, digits: int) -> float | None:
    return None if math.isnan(value) else round(value, digits)


def _with_text(fig: go.Figure, text: str) -> None:
    """`text` over all panels, wrapped at spaces, with room for it."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) >= _WRAP:
            lines.append("")
        lines[-1] += f"{word} "
    room = _LINE * len(lines) + 34
    fig.update_layout(height=fig.layout.height + room - fig.layout.margin.t, margin_t=room)
    fig.add_annotation(
        name="input",
        text="<br>".join(html.escape(line.strip(), quote=False) for line in lines),
        x=0,
        xref="paper",
        xanchor="left",
        y=1,
        yref="paper",
        yanchor="bottom",
        yshift=26,
        align="left",
        showarrow=False,
        font={"family": _MONOSPACE, "size": 11},
    )
