"""Lines of time against length: ratios, floors of the machine, and where one falls below another for good.

Shared by the figures of layers (``speed.py``) and of ops (``op_speed.py``).
"""

import math
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.marks import doubling_axis, panels, room_for_legend, traces_of
from hmlcore.figures.style import GREY, in_order, layout_of, mixer_style, rounded, stamp
from hmlcore.results import ResultSet
from hmlcore.results.text import three

OURS = ("hml", "op:hml-p2")
"""What every comparison is about, drawn bolder."""
COLORED = tuple(mixer_style(mixer).label for mixer in ("hml", "attention", "gated_deltanet", "mamba"))
"""Layers that keep their colors among eleven: ours, what times are compared with, and a state space model."""


def per_token(results: ResultSet, metric: str, references: Sequence[str]) -> pd.DataFrame:
    """A row a mixer and length: `value`, `each` (per token) and the ratios of `each` to every reference.

    Several runs of a mixer are averaged. A reference that was not measured at a length gives NaN there.

    Raises:
        HmlcoreError: the timings were not taken side by side in one go, or on several devices.
    """
    times = sorted(set(results.frame["started_at"]))
    require(
        len(times) == 1,
        f"timings of {len(times)} occasions cannot be compared; take them side by side: "
        f"hml bench --profile {results.profile}",
    )
    results.timings()  # refuses several devices
    rows = results.metric(metric)
    own = {"batch": 1, "spread": math.nan, "path": ""}
    rows = rows.assign(**{name: value for name, value in own.items() if name not in rows})
    first = rows.drop(columns="value").groupby(["mixer", "length"], as_index=False).first()
    rows = first.merge(rows.groupby(["mixer", "length"], as_index=False)["value"].mean())
    tokens = 1 if metric == "seconds_decode" else rows["batch"] * rows["length"]
    rows["each"] = rows["value"] / tokens
    for reference in references:
        known = rows[rows["mixer"] == reference].set_index("length")["each"]
        rows[f"to_{reference}"] = rows["each"] / rows["length"].map(known)
    return rows.sort_values(["mixer", "length"]).reset_index(drop=True)


def crossover(lengths, ratios) -> float | None:
    """The length from which on `ratios` stay below 1, interpolated between lengths on both logarithms.

    None where the last one is not below 1, or all are: then the crossing, if there is one, was not seen.
    """
    points = [(float(x), float(r)) for x, r in zip(lengths, ratios, strict=True) if r == r]
    above = [i for i, (_, ratio) in enumerate(points) if ratio >= 1]
    if not above or above[-1] == len(points) - 1:
        return None
    (x0, r0), (x1, r1) = points[above[-1]], points[above[-1] + 1]
    share = math.log(r0) / (math.log(r0) - math.log(r1))
    return x0 * (x1 / x0) ** share


def times(
    results: ResultSet, metric: str, title: str, references: Sequence[str], floors: dict, floored: Sequence[str]
) -> go.Figure:
    """Time per token against length, a line a mixer, both axes logarithmic, and dotted floors.

    Buttons: microseconds, or the ratio to one of `references`. A ring marks the length from which on a mixer
    is faster than the reference (the first under microseconds), interpolated on both logarithms.

    Args:
        title: of the y axis.
        floors: (mixer, length) → seconds a token that the machine cannot beat; in the hover texts of all.
        floored: mixers whose floor is drawn.
    """
    rows = per_token(results, metric, references)
    mixers = in_order(rows["mixer"])
    fig, cells = panels([""], "length (tokens)", title, height=400)
    parts = [rows[rows["mixer"] == mixer] for mixer in mixers]
    views = [("µs per token", title, references[0], [part["each"] * 1e6 for part in parts])]
    for reference in references:
        if reference in mixers:
            label = mixer_style(reference).label
            ratios = [part[f"to_{reference}"] for part in parts]
            views.append((f"÷ {label}", f"time ÷ that of {label}", reference, ratios))
    for part, values in zip(parts, views[0][3], strict=True):
        text = [time_text(row, floors, references) for row in part.to_dict("records")]
        fig.add_trace(line(part, values, text), **cells[0])
    known = {mixer for mixer, _ in floors}
    lows = [part for part in parts if part["mixer"].iloc[0] in known.intersection(floored)]
    for part in lows:
        fig.add_trace(floor_line(part, floors), **cells[0])
    rings = [_rings(parts, values, reference) for _, _, reference, values in views]
    fig.add_trace(_ring_trace(rings[0]), **cells[0])
    buttons = []
    for (label, axis, reference, values), (x, y, text) in zip(views, rings, strict=True):
        below = [_floor_heights(part, floors, "" if axis == title else reference) for part in lows]
        data = {
            "x": [*(rounded(part["length"], 12) for part in (*parts, *lows)), x],
            "y": [*map(plain, values), *below, y],
            "text": [*(list(trace.text) for trace in traces_of(fig)[:-1]), text],
        }
        buttons.append({"label": label, "method": "update", "args": [data, {"yaxis.title.text": axis}]})
    fig.update_xaxes(**doubling_axis(rows["length"]))
    ticks = [digit * 10.0**power for power in range(-5, 7) for digit in (1, 2, 5)]
    fig.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{tick:,g}" for tick in ticks])
    fig.update_layout(margin_l=74)
    room_for_legend(fig)
    if len(buttons) > 1:
        _add_buttons(fig, buttons)
    return stamp(fig, stamp_text(results), rows["n"])


def line(part: pd.DataFrame, values, text: list[str]) -> go.Scatter:
    """One mixer's `values` by length."""
    mixer = part["mixer"].iloc[0]
    style = mixer_style(mixer)
    return go.Scatter(
        x=rounded(part["length"], 12),
        y=plain(values),
        mode="lines+markers",
        name=style.label,
        legendgroup=style.label,
        showlegend=True,
        line={"color": style.color, "dash": style.dash, "width": 3 if mixer in OURS else 1.6},
        marker={"symbol": style.symbol, "size": 9 if mixer in OURS else 7},
        text=text,
        hovertemplate="%{text}<extra></extra>",
        meta="time",
    )


def floor_line(part: pd.DataFrame, floors: dict) -> go.Scatter:
    """What the machine allows one mixer, in microseconds a token; it goes with the mixer's line."""
    style = mixer_style(part["mixer"].iloc[0])
    heights = _floor_heights(part, floors, "")
    text = [
        f"{head(row)}<br>the machine's limit: {'unknown' if y is None else f'{three(y)} µs a token'}"
        for row, y in zip(part.to_dict("records"), heights, strict=True)
    ]
    return go.Scatter(
        x=rounded(part["length"], 12),
        y=heights,
        mode="lines",
        name=f"{style.label}, limit",
        legendgroup=style.label,
        showlegend=False,
        line={"color": style.color, "dash": "dot", "width": 1.2},
        text=text,
        hovertemplate="%{text}<extra></extra>",
        meta="floor",
    )


def _floor_heights(part: pd.DataFrame, floors: dict, reference: str) -> list:
    """Floors in microseconds, or over the reference's time a token; None where one is not known."""
    heights = []
    for row in part.to_dict("records"):
        floor = floors.get((row["mixer"], row["length"]), math.nan)
        # each / to_reference is the reference's own time.
        heights.append(floor * row[f"to_{reference}"] / row["each"] if reference else 1e6 * floor)
    return plain(heights)


def _add_buttons(fig: go.Figure, buttons: list[dict]) -> None:
    """Under the plot, beside the stamp: images for print leave that room out with the buttons."""
    room = 44
    fig.update_layout(height=layout_of(fig).height + room, margin_b=layout_of(fig).margin.b + room)
    inside = layout_of(fig).height - layout_of(fig).margin.t - layout_of(fig).margin.b
    place = {"x": 0, "xanchor": "left", "y": -58 / inside, "yanchor": "top"}
    look = {"bgcolor": "rgba(0,0,0,0)", "bordercolor": GREY, "font": {"size": 12, "color": GREY}}
    menu = {"type": "buttons", "direction": "right", "buttons": buttons, "showactive": False, **place, **look}
    fig.update_layout(updatemenus=[menu])


def _rings(parts: list[pd.DataFrame], values: list, reference: str) -> tuple[list, list, list]:
    """Where each part falls below `reference` for good: lengths, heights on its own line, hover texts."""
    found = []
    for part, heights in zip(parts, values, strict=True):
        lengths = part["length"]
        if f"to_{reference}" in part and part["mixer"].iloc[0] != reference:
            at = crossover(lengths, part[f"to_{reference}"])
            if at is not None:
                name, other = (mixer_style(m).label for m in (part["mixer"].iloc[0], reference))
                text = f"<b>{name}</b> is faster than {other}<br>from about {about(at)} tokens on"
                found.append((at, _height(at, lengths, heights), text))
    x, y, text = zip(*found, strict=True) if found else ((), (), ())
    return rounded(x), rounded(y), list(text)


def _height(at: float, lengths, values) -> float:
    """The line through (lengths, values), straight on both logarithms, at `at`."""
    points = sorted(zip(map(float, lengths), map(float, values), strict=True))
    left = max(p for p in points if p[0] <= at)
    right = min(p for p in points if p[0] >= at)
    share = 0.0 if left[0] == right[0] else math.log(at / left[0]) / math.log(right[0] / left[0])
    return left[1] * (right[1] / left[1]) ** share


def _ring_trace(rings: tuple[list, list, list]) -> go.Scatter:
    x, y, text = rings
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"symbol": "circle-open", "size": 17, "color": GREY, "line": {"width": 2}},
        text=text,
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        meta="crossover",
    )


def time_text(row: dict, floors: dict, references: Sequence[str]) -> str:
    """For the pointer: time, ratios, distance from the floor, repeats, what ran."""
    lines = [head(row), f"{three(row['each'] * 1e6)} µs a token"]
    ratios = [(r, row[f"to_{r}"]) for r in references if r != row["mixer"] and row[f"to_{r}"] == row[f"to_{r}"]]
    lines += [f"{three(ratio)} × the time of {mixer_style(reference).label}" for reference, ratio in ratios]
    if (row["mixer"], row["length"]) in floors:
        lines.append(f"{three(row['each'] / floors[row['mixer'], row['length']])} × the machine's limit")
    n = [f"n = {row['n']}"] if row["n"] else []
    n += [f"quartiles {row['spread']:.0%} apart"] if row["spread"] == row["spread"] else []
    lines.append(", ".join([*n, f"batch {row['batch']}"]))
    return "<br>".join(lines) + path(row)


def head(row: dict) -> str:
    """The first line of a hover text."""
    return f"<b>{mixer_style(row['mixer']).label}</b> {row['length']:,} tokens"


def path(row: dict) -> str:
    """The last: which implementation ran."""
    return f"<br>{row['path']}" if row.get("path") else ""


def about(length: float) -> str:
    """Two significant digits: an interpolated length is no better than that."""
    digits = max(0, math.floor(math.log10(length)) - 1)
    return f"{round(length, -digits):,.0f}"


def plain(values) -> list:
    """Numbers as JSON takes them: five digits, None for NaN."""
    return [None if v != v else float(f"{float(v):.5g}") for v in values]


def stamp_text(results: ResultSet) -> str:
    """The usual stamp with the number of threads; a timing has no seeds worth counting."""
    frame = results.frame
    threads = frame["threads"].dropna().unique() if "threads" in frame else []
    count = [f"{int(threads[0])} thread{'s' if threads[0] != 1 else ''}"] if len(threads) == 1 else []
    return " · ".join([results.stamp(), *count])
