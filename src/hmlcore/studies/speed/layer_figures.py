"""Speed and memory against length: what a token costs, and from which length on attention costs more."""

import math

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.crowd import faded
from hmlcore.figures.marks import doubling_axis, panels, room_for_legend
from hmlcore.figures.style import in_order, mixer_style, stamp
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text
from hmlcore.studies.speed import timings
from hmlcore.studies.speed.timings import COLORED, about, crossover, head, line, path, stamp_text

REFERENCES = ("attention", "gated_deltanet")
"""What times are compared with, the first in the rings and hover texts."""
FLOORED = ("hml", "attention")
"""Whose limit is drawn; eleven would hide the lines."""


def speed_train(results: ResultSet) -> go.Figure:
    """Time per token of forward and backward against length, a line a mixer, both axes logarithmic.

    Buttons: microseconds, or the ratio to attention or to Gated DeltaNet. Rings mark crossovers, dotted lines
    the machine's limits for HML and attention (:func:`hmlcore.studies.speed.timings.times`).
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
            f"{head(row)}<br>{bytes_text(row['each'])} a token, {bytes_text(row['value'])} in all<br>"
            f"batch {row['batch']}{path(row)}"
            for row in part.to_dict("records")
        ]
        fig.add_trace(line(part, part["each"], text), **cells[0])
    ticks = [digit * 2.0**power for power in range(41) for digit in (1, 1.5)]
    fig.update_yaxes(type="log", tickvals=ticks, ticktext=[bytes_text(tick) for tick in ticks], **cells[0])
    fig.update_xaxes(**doubling_axis(rows["length"]))
    fig.update_layout(margin_l=78)
    return stamp(room_for_legend(faded(fig, COLORED)), stamp_text(results))


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
    note = f"{stamp_text(results)}. Ratios of times, below 1 is faster; lengths in tokens"
    return render(pd.DataFrame(lines), note=note, caption="What was timed, and crossovers with attention.")


def per_token(results: ResultSet, metric: str) -> pd.DataFrame:
    """:func:`hmlcore.studies.speed.timings.per_token` with the references of layers."""
    return timings.per_token(results, metric, REFERENCES)


def _times(results: ResultSet, metric: str, title: str) -> go.Figure:
    floors = _floors(results, per_token(results, metric), metric)
    return faded(timings.times(results, metric, title, REFERENCES, floors, FLOORED), COLORED)


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


def _from(mine: pd.DataFrame, mixer: str) -> str:
    """For the table: the crossover with attention, or which side of it a mixer is on throughout."""
    ratios = mine["to_attention"].dropna()
    if mixer == "attention" or ratios.empty:
        return ""
    at = crossover(mine["length"], mine["to_attention"])
    if at is not None:
        return about(at)
    return "all lengths" if (ratios < 1).all() else "none measured"
