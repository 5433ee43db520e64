"""Ops against ops: time and memory of a token against length, the machine's floors, decoding by context."""

import math

import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.marks import doubling_axis, panels, room_for_legend
from hmlcore.figures.style import in_order, stamp
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text
from hmlcore.studies.speed import timings
from hmlcore.studies.speed.claims import goal_table

REFERENCES = ("op:sdpa", "op:gdn-transformers", "op:gdn-fla", "op:hml-p1")
"""What times are compared with, where they were measured; the first in the rings."""


def op_train(results: ResultSet) -> go.Figure:
    """Time per token of forward and backward against length, a line an op, both axes logarithmic.

    Buttons: microseconds, or the ratio to another op. Rings mark from where on an op is faster than attention.
    Dotted: what the machine cannot beat, the larger of bytes over copy bandwidth and FLOPs over matmul rate.
    """
    floors = floors_of(results, "seconds_train")
    title = "µs per token, forward and backward"
    drawn = _distinct(floors)
    return timings.times(results, "seconds_train", title, _references(results), floors, drawn)


def op_decode(results: ResultSet) -> go.Figure:
    """One decoded token against the tokens before it, all axes logarithmic: its time above, with the floor
    dotted, and below the bytes that have to be moved for it."""
    rows = timings.per_token(results, "seconds_decode", _references(results))
    floors = floors_of(results, "seconds_decode")
    fig, cells = panels(["", ""], "tokens before it", "", columns=1, height=280)
    for mixer in in_order(rows["mixer"]):
        part = rows[rows["mixer"] == mixer]
        text = [
            f"{timings.time_text(row, floors, _references(results))}<br>{bytes_text(row['bytes_moved'])} moved"
            for row in part.to_dict("records")
        ]
        fig.add_trace(timings.line(part, part["each"] * 1e6, text), **cells[0])
        below = timings.line(part, part["bytes_moved"], text)
        fig.add_trace(below.update(showlegend=False, meta="bytes"), **cells[1])
    for mixer in _distinct(floors):
        fig.add_trace(timings.floor_line(rows[rows["mixer"] == mixer], floors), **cells[0])
    fig.update_xaxes(**doubling_axis(rows["length"]))
    ticks = sorted({float(length) for length in rows["length"]})
    fig.update_xaxes(tickvals=ticks, ticktext=[f"{int(tick):,}" for tick in ticks])
    tens = [10.0**power for power in range(-5, 7)]
    shown = [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in tens]
    fig.update_yaxes(type="log", tickvals=tens, ticktext=shown, title_text="µs per decoded token", **cells[0])
    sixteens = [16.0**power for power in range(11)]
    fig.update_yaxes(
        type="log", tickvals=sixteens, ticktext=[bytes_text(t) for t in sixteens], title_text="bytes moved",
        **cells[1],
    )  # fmt: skip
    fig.update_layout(margin_l=84)
    return stamp(room_for_legend(fig), timings.stamp_text(results), rows["n"])


def op_goals_table(results: ResultSet) -> Table:
    """The goals that were set for the op before it was measured, what was measured, and the verdicts."""
    table = goal_table(results)
    note = f"{timings.stamp_text(results)}. Empty: not measured on this machine"
    return render(table, note=note, caption="How fast the Hamiltonian op should be, and is.")


def floors_of(results: ResultSet, metric: str) -> dict[tuple[str, int], float]:
    """(op, length) → seconds a token that this machine cannot beat, as stored beside each time."""
    rows = results.metric(metric)
    columns = ("floor_bytes_s", "floor_flops_s")
    absent = [column for column in columns if column not in rows]
    require(not absent, f"results of {results.experiment!r} lack the columns {absent}")
    tokens = rows["batch"] * rows["length"] if metric == "seconds_train" else 1
    floor = rows[list(columns)].max(axis=1) / tokens
    return dict(zip(zip(rows["mixer"], rows["length"], strict=True), floor, strict=True))


def _references(results: ResultSet) -> list[str]:
    """Those that were timed; attention comes first even where it was not, for the rings."""
    timed = set(results.metric("seconds_train")["mixer"])
    return [name for number, name in enumerate(REFERENCES) if number == 0 or name in timed]


def _distinct(floors: dict) -> list[str]:
    """Ops whose floors the eye can tell apart (5%): of several on one line the first."""
    drawn = []
    for mixer in in_order(mixer for mixer, _ in floors):
        own = {length: floor for (m, length), floor in floors.items() if m == mixer}
        if not any(
            all(abs(floors.get((other, at), math.inf) / floor - 1) < 0.05 for at, floor in own.items())
            for other in drawn
        ):
            drawn.append(mixer)
    return drawn
