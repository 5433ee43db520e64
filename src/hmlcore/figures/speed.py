"""Speed and memory against length: what a token costs, and from which length on attention costs more."""

import math

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.marks import doubling_axis, panels, room_for_legend
from hmlcore.figures.style import GREY, in_order, mixer_style, rounded, stamp
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text, three

REFERENCES = ("attention", "gated_deltanet")
"""What times are compared with, the first in the rings and hover texts."""


def speed_train(results: ResultSet) -> go.Figure:
    """Time per token of forward and backward against length, a line a mixer, both axes logarithmic.

    Buttons: microseconds, or the ratio to attention or to Gated DeltaNet. A ring marks the length from which
    on a mixer is faster than the reference (attention under microseconds), interpolated on both logarithms.
    """
    return _times(results, "seconds_train", "µs per token, forward and backward")


def speed_decode(results: ResultSet) -> go.Figure:
    """Time of one decoded token against the tokens before it; otherwise as :func:`speed_train`."""
    return _times(results, "seconds_decode", "µs per decoded token")


def speed_memory(results: ResultSet) -> go.Figure:
    """Peak memory of a training pass in bytes per token against length, both axes logarithmic."""
    rows = per_token(results, "peak_memory_bytes")
    fig, cells = panels([""], "length (tokens)", "bytes per token, forward and backward", height=380)
    for mixer in in_order(rows["mixer"]):
        part = rows[rows["mixer"] == mixer]
        text = [
            f"{_head(row)}<br>{bytes_text(row['each'])} a token, {bytes_text(row['value'])} in all<br>"
            f"batch {row['batch']}{_path(row)}"
            for row in part.to_dict("records")
        ]
        fig.add_trace(_line(part, part["each"], text), **cells[0])
    ticks = [digit * 2.0**power for power in range(41) for digit in (1, 1.5)]
    fig.update_yaxes(type="log", tickvals=ticks, ticktext=[bytes_text(tick) for tick in ticks], **cells[0])
    fig.update_xaxes(**doubling_axis(rows["length"]))
    fig.update_layout(margin_l=78)
    return stamp(room_for_legend(fig), _stamp_text(results))


def speed_paths_table(results: ResultSet) -> Table:
    """Which implementation ran for each mixer, from which length on it beats attention, and by how much."""
    lines = []
    for kind, metric in (("training", "seconds_train"), ("decoding", "seconds_decode")):
        if metric not in results.metrics:
            continue
        rows = per_token(results, metric)
        longest = int(rows["length"].max())
        for mixer in in_order(rows["mixer"]):
            mine = rows[rows["mixer"] == mixer]
            last = mine.iloc[-1]
            line = {"": kind, "mixer": mixer_style(mixer).label, "implementation": last["path"]}
            line["faster than attention from"] = _from(mine, mixer)
            for reference in REFERENCES:
                ratio = last[f"to_{reference}"] if last["length"] == longest else math.nan
                line[f"÷ {mixer_style(reference).label} at {longest:,}"] = float(ratio)
            lines.append(line)
    require(bool(lines), f"results of {results.experiment!r} have no timings")
    note = f"{_stamp_text(results)}. Ratios of times, below 1 is faster; lengths in tokens"
    return render(pd.DataFrame(lines), note=note, caption="What was timed, and crossovers with attention.")


def per_token(results: ResultSet, metric: str) -> pd.DataFrame:
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
    for reference in REFERENCES:
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


def _times(results: ResultSet, metric: str, title: str) -> go.Figure:
    rows = per_token(results, metric)
    mixers = in_order(rows["mixer"])
    fig, cells = panels([""], "length (tokens)", title, height=400)
    parts = [rows[rows["mixer"] == mixer] for mixer in mixers]
    views = [("µs per token", title, "attention", [part["each"] * 1e6 for part in parts])]
    for reference in REFERENCES:
        if reference in mixers:
            label = mixer_style(reference).label
            ratios = [part[f"to_{reference}"] for part in parts]
            views.append((f"÷ {label}", f"time ÷ that of {label}", reference, ratios))
    floors = _floors(results, rows, metric)
    for part, values in zip(parts, views[0][3], strict=True):
        text = [_time_text(row, floors) for row in part.to_dict("records")]
        fig.add_trace(_line(part, values, text), **cells[0])
    rings = [_rings(parts, values, reference) for _, _, reference, values in views]
    fig.add_trace(_ring_trace(rings[0]), **cells[0])
    buttons = []
    for (label, axis, _, values), (x, y, text) in zip(views, rings, strict=True):
        data = {
            "x": [*(rounded(part["length"], 12) for part in parts), x],
            "y": [*map(_plain, values), y],
            "text": [*(list(trace.text) for trace in fig.data[:-1]), text],
        }
        buttons.append({"label": label, "method": "update", "args": [data, {"yaxis.title.text": axis}]})
    fig.update_xaxes(**doubling_axis(rows["length"]))
    ticks = [digit * 10.0**power for power in range(-5, 7) for digit in (1, 2, 5)]
    fig.update_yaxes(type="log", tickvals=ticks, ticktext=[f"{tick:,g}" for tick in ticks])
    fig.update_layout(margin_l=74)
    room_for_legend(fig)
    if len(buttons) > 1:
        _add_buttons(fig, buttons)
    return stamp(fig, _stamp_text(results), rows["n"])


def _add_buttons(fig: go.Figure, buttons: list[dict]) -> None:
    """Under the plot, beside the stamp: images for print leave that room out with the buttons."""
    room = 44
    fig.update_layout(height=fig.layout.height + room, margin_b=fig.layout.margin.b + room)
    inside = fig.layout.height - fig.layout.margin.t - fig.layout.margin.b
    place = {"x": 0, "xanchor": "left", "y": -58 / inside, "yanchor": "top"}
    look = {"bgcolor": "rgba(0,0,0,0)", "bordercolor": GREY, "font": {"size": 12, "color": GREY}}
    menu = {"type": "buttons", "direction": "right", "buttons": buttons, "showactive": False, **place, **look}
    fig.update_layout(updatemenus=[menu])


def _line(part: pd.DataFrame, values, text: list[str]) -> go.Scatter:
    mixer = part["mixer"].iloc[0]
    style = mixer_style(mixer)
    return go.Scatter(
        x=rounded(part["length"], 12),
        y=_plain(values),
        mode="lines+markers",
        name=style.label,
        legendgroup=style.label,
        showlegend=True,
        line={"color": style.color, "dash": style.dash, "width": 3 if mixer == "hml" else 1.6},
        marker={"symbol": style.symbol, "size": 9 if mixer == "hml" else 7},
        text=text,
        hovertemplate="%{text}<extra></extra>",
        meta="time",
    )


def _rings(parts: list[pd.DataFrame], values: list, reference: str) -> tuple[list, list, list]:
    """Where each part falls below `reference` for good: lengths, heights on its own line, hover texts."""
    found = []
    for part, heights in zip(parts, values, strict=True):
        lengths = part["length"]
        if f"to_{reference}" in part and part["mixer"].iloc[0] != reference:
            at = crossover(lengths, part[f"to_{reference}"])
            if at is not None:
                name, other = (mixer_style(m).label for m in (part["mixer"].iloc[0], reference))
                text = f"<b>{name}</b> is faster than {other}<br>from about {_about(at)} tokens on"
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


def _floors(results: ResultSet, rows: pd.DataFrame, metric: str) -> dict[tuple[str, int], float]:
    """(mixer, length) → seconds a token that this machine cannot beat, where its limits were measured.

    Training: three times the forward pass's FLOPs over the rate of a large matrix product. Decoding: the bytes
    of weights and state over the bandwidth of a copy.
    """
    training = metric == "seconds_train"
    limit = "matmul_rate" if training else "copy_bandwidth"
    if limit not in results.metrics:
        return {}
    rate = float(results.metric(limit)["value"].median())
    work = 3 * rows["flops_per_token"] if training else 4 * rows["parameters"] + rows["state_bytes"]
    return dict(zip(zip(rows["mixer"], rows["length"], strict=True), work / rate, strict=True))


def _time_text(row: dict, floors: dict) -> str:
    lines = [_head(row), f"{three(row['each'] * 1e6)} µs a token"]
    ratios = [(r, row[f"to_{r}"]) for r in REFERENCES if r != row["mixer"] and row[f"to_{r}"] == row[f"to_{r}"]]
    lines += [f"{three(ratio)} × the time of {mixer_style(reference).label}" for reference, ratio in ratios]
    if (row["mixer"], row["length"]) in floors:
        lines.append(f"{three(row['each'] / floors[row['mixer'], row['length']])} × the machine's limit")
    n = [f"n = {row['n']}"] if row["n"] else []
    n += [f"quartiles {row['spread']:.0%} apart"] if row["spread"] == row["spread"] else []
    lines.append(", ".join([*n, f"batch {row['batch']}"]))
    return "<br>".join(lines) + _path(row)


def _head(row: dict) -> str:
    return f"<b>{mixer_style(row['mixer']).label}</b> {row['length']:,} tokens"


def _path(row: dict) -> str:
    return f"<br>{row['path']}" if row.get("path") else ""


def _from(mine: pd.DataFrame, mixer: str) -> str:
    """For the table: the crossover with attention, or which side of it a mixer is on throughout."""
    ratios = mine["to_attention"].dropna()
    if mixer == "attention" or ratios.empty:
        return ""
    at = crossover(mine["length"], mine["to_attention"])
    if at is not None:
        return _about(at)
    return "all lengths" if (ratios < 1).all() else "none measured"


def _about(length: float) -> str:
    """Two significant digits: an interpolated length is no better than that."""
    digits = max(0, math.floor(math.log10(length)) - 1)
    return f"{round(length, -digits):,.0f}"


def _plain(values) -> list:
    return [None if v != v else float(f"{float(v):.5g}") for v in values]


def _stamp_text(results: ResultSet) -> str:
    """The usual stamp with the number of threads; a timing has no seeds worth counting."""
    frame = results.frame
    threads = frame["threads"].dropna().unique() if "threads" in frame else []
    count = [f"{int(threads[0])} thread{'s' if threads[0] != 1 else ''}"] if len(threads) == 1 else []
    return " · ".join([results.stamp(), *count])
