"""What superpositions hold beside the law, what they cost beside attention, and what they do on tasks."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.marks import accuracy_axis, doubling_axis, panels, room_for_legend
from hmlcore.figures.style import GREY, MixerStyle, mixer_style, rounded, stamp
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.studies.holographic import LAYER
from hmlcore.studies.holographic.claims import beside_law, plain
from hmlcore.studies.holographic.slots import CAPTIONS, DRAWN
from hmlcore.studies.holographic.tables import (
    holographic_parts,
    holographic_sizes,
    holographic_tasks,
    holographic_text,
    stored_reading,
)
from hmlcore.studies.kit.figure import Figure, TableOf
from hmlcore.studies.kit.superposition import accuracy

_SPARE = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00", "#9467BD")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
BINDINGS = {"unitary": "phases", "bipolar": "signs", "convolution": "convolution"}


def _style(number: int, label: str) -> MixerStyle:
    return MixerStyle(label, _SPARE[number % len(_SPARE)], _SYMBOLS[number % len(_SYMBOLS)], "solid")


def _dots(
    fig: go.Figure, x, y, style: MixerStyle, text, where: dict, legend: bool, mode: str = "markers"
) -> None:
    fig.add_trace(
        go.Scatter(
            x=rounded(x, 12), y=rounded(y), mode=mode, name=style.label, legendgroup=style.label,
            showlegend=legend, text=text, hovertemplate="%{text}<extra></extra>",
            marker={"color": style.color, "symbol": style.symbol, "size": 7},
            line={"color": style.color, "dash": style.dash, "width": 2},
        ),
        **where,
    )  # fmt: skip


def _law(fig: go.Figure, ratios, values: int, where: dict, legend: bool) -> None:
    x = np.geomspace(min(ratios), max(ratios), 60)
    y = [accuracy(ratio, 1.0, values) for ratio in x]
    fig.add_trace(
        go.Scatter(
            x=rounded(x), y=rounded(y), mode="lines", name="law", legendgroup="law", showlegend=legend,
            line={"color": GREY, "width": 2}, hovertemplate="law: %{y:.3f}<extra></extra>",
        ),
        **where,
    )  # fmt: skip


def capacity_over_law(results: ResultSet) -> go.Figure:
    """Accuracy of one superposition against D / N, a panel a binding, a colour a D, and the law's line."""
    rows = plain(beside_law(results))
    rows = rows[rows["slots"] == 1]
    values = results.specs()[0]["values"]
    found = [b for b in BINDINGS if b in set(rows["binding"])]
    fig, cells = panels([BINDINGS[b] for b in found], "numbers a pair, D / N", "accuracy")
    for binding, where in zip(found, cells, strict=True):
        part = rows[rows["binding"] == binding]
        _law(fig, part["channels"] / part["pairs"], values, where, binding == found[0])
        for number, (channels, own) in enumerate(part.groupby("channels")):
            text = [
                f"D = {channels:,.0f}, N = {r.pairs:,.0f}<br>measured {r.value:.3f}, law {r.law:.3f}"
                for r in own.itertuples()
            ]
            style = _style(number, f"D = {channels:,.0f}")
            _dots(fig, own["channels"] / own["pairs"], own["value"], style, text, where, binding == found[0])
        fig.update_xaxes(**doubling_axis(part["channels"] / part["pairs"]), **where)
    accuracy_axis(fig)
    return room_for_legend(stamp(fig, results, rows["n"]))


def capacity_of_slots(results: ResultSet) -> go.Figure:
    """Accuracy of S slots of D / S channels against D / N, and their law, a panel a binding; means over D."""
    rows = plain(beside_law(results))
    rows = rows.assign(ratio=rows["channels"] / rows["pairs"])
    found = [b for b in BINDINGS if b in set(rows["binding"])]
    fig, cells = panels([BINDINGS[b] for b in found], "numbers a pair, D / N", "accuracy")
    for binding, where in zip(found, cells, strict=True):
        part = rows[rows["binding"] == binding]
        for number, slots in enumerate(sorted(set(part["slots"].dropna()))):
            own = part[part["slots"] == slots]
            style = _style(number, f"{slots:.0f} slot{'s' if slots > 1 else ''}")
            means = own.groupby("ratio")[["value", "law"]].mean()
            text = [f"{style.label}: measured {r.value:.3f}, law {r.law:.3f}" for r in means.itertuples()]
            _dots(fig, means.index, means["value"], style, text, where, binding == found[0])
            line = style._replace(dash="dot")
            _dots(fig, means.index, means["law"], line, text, where, False, "lines")
        fig.update_xaxes(**doubling_axis(part["ratio"]), **where)
    accuracy_axis(fig)
    return room_for_legend(stamp(fig, results, rows["n"]))


def stored_states(results: ResultSet) -> Table:
    """Accuracy of one superposition stored with fewer bits, a row a binding and format, a column a number of
    pairs."""
    rows = beside_law(results)
    rows = rows[rows["stored"] != "fp32"]
    order = ["fp32, the same ones", "fp16", "int8", "int4", "signs"]
    lines = []
    for binding in BINDINGS:
        for stored in order:
            own = rows[(rows["binding"] == binding) & (rows["stored"] == stored)].sort_values("pairs")
            if len(own):
                cells = {f"{r.pairs:,.0f} pairs": f"{r.value:.3f}" for r in own.itertuples()}
                lines.append({"binding": BINDINGS[binding], "stored as": stored.split(",")[0]} | cells)
    note = f"{results.stamp()} · D = {rows['channels'].iloc[0]:,.0f}; signs are of the mean size"
    return render(pd.DataFrame(lines), note=note, caption="What quantising a superposition costs in recall.")


def learned_keys(results: ResultSet) -> Table:
    """Accuracy of keys learned for N pairs beside random ones and the law."""
    rows = beside_law(results)
    rows = rows[rows["keys"] != "random"]
    lines = []
    for (binding, pairs), own in rows.groupby(["binding", "pairs"]):
        by = own.set_index("keys")
        lines.append(
            {
                "binding": BINDINGS[str(binding)], "pairs": f"{pairs:,.0f}", "law": f"{own['law'].iloc[0]:.3f}",
                "random": f"{by['value']['random, the same in all']:.3f}",
                "learned": f"{by['value']['learned, the same in all']:.3f}",
            }
        )  # fmt: skip
    note = f"{results.stamp()} · D = {rows['channels'].iloc[0]:,.0f}"
    return render(pd.DataFrame(lines), note=note, caption="Keys that are the same in every superposition.")


def holographic_cost(results: ResultSet) -> go.Figure:
    """Operations at the source's sizes, seconds of a decoded token, and bytes of state, against length."""
    titles = {
        "flops_source": "operations a token", "seconds_decode": "seconds a token",
        "state_bytes": "bytes of state",
    }  # fmt: skip
    fig, cells = panels(list(titles.values()), "tokens before", "", columns=3)
    for metric, where in zip(titles, cells, strict=True):
        of = "seconds_decode" if metric == "state_bytes" else metric
        rows = results.metric(of)
        rows = rows.assign(shown=rows["state_bytes"] if metric == "state_bytes" else rows["value"])
        for mixer in ("attention", LAYER, "holographic_legacy"):
            own = rows[rows["mixer"] == mixer].sort_values("length")
            text = [f"{mixer_style(mixer).label}, {r.length:,.0f}: {r.shown:.3g}" for r in own.itertuples()]
            first = metric == next(iter(titles))
            _dots(fig, own["length"], own["shown"], mixer_style(mixer), text, where, first, "lines+markers")
        fig.update_xaxes(type="log", dtick=1, **where)
        fig.update_yaxes(type="log", dtick=1, matches=None, showticklabels=True, **where)
    return room_for_legend(stamp(fig, results))


FIGURES = {
    "capacity_over_law": Figure(
        "holographic_capacity", capacity_over_law,
        "Recall of superposed random pairs against the numbers that each has, D / N: dots are measured, the "
        "grey line is the law. All lengths D fall on one curve.",
    ),
    "capacity_of_slots": Figure(
        "holographic_capacity", capacity_of_slots,
        "The same bytes in one superposition or in several slots to which keys are routed at random: dots are "
        "measured, dotted lines are the law of a slot that has some pairs more or less than the mean, "
        "which is low where slots have few pairs.",
    ),
    "holographic_cost": Figure(
        "holographic_cost", holographic_cost,
        "What a token costs after so many others: operations at the sizes of the system's source, seconds and "
        "bytes at the width of the other laptop experiments. Both axes are logarithmic.",
    ),
    **{
        name: Figure("holographic_portrait", draw, CAPTIONS[name], traced=True, every_mixer=True)
        for name, draw in DRAWN.items()
    },
}  # fmt: skip
TABLES = {
    "stored_states": TableOf("holographic_capacity", stored_states),
    "learned_keys": TableOf("holographic_capacity", learned_keys),
    "holographic_tasks": TableOf("holographic_tasks", holographic_tasks),
    "stored_reading": TableOf("holographic_tasks", stored_reading),
    "holographic_text": TableOf("holographic_text", holographic_text),
    "holographic_sizes": TableOf("holographic_sizes", holographic_sizes),
    "holographic_parts": TableOf("holographic_ablation", holographic_parts),
}
