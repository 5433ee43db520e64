"""The sparse memory: the frontier of its gates, recall over distance, slots against laws, and its cost."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.marks import (
    accuracy_axis,
    add_chance,
    add_seeds,
    doubling_axis,
    panels,
    room_for_legend,
)
from hmlcore.figures.style import GREY, MixerStyle, mixer_style, stamp
from hmlcore.results import ResultSet
from hmlcore.results.statistics import wilson_interval
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.figure import SEEDS, Figure
from hmlcore.studies.sparse import tables
from hmlcore.studies.sparse.claims import (
    EVERYTHING,
    HEADLINE,
    LEARNED,
    RIVALS,
    WINDOW,
    asked,
    frontier,
)
from hmlcore.studies.sparse.poisson import held_by_law, survival_by_law

_BLUE, _GREEN, _PINK, _SKY, _GOLD, _RED = (
    mixer_style(m).color for m in ("attention", "gru", "mamba", "hyena", "gated_deltanet", "hml")
)
STYLES = {
    "random": MixerStyle("random", GREY, "x", "solid"),
    "rare": MixerStyle("oracle: rare ids", GREY, "diamond-open", "dash"),
    "surprisal": MixerStyle("surprisal", _RED, "circle", "solid"),
    "stratified": MixerStyle("stratified surprisal", _RED, "circle-open", "dash"),
    "redundancy": MixerStyle("read before write", _GOLD, "star", "solid"),
    "after_read": MixerStyle("surprisal after the read", _PINK, "triangle-up", "solid"),
    "frequency": MixerStyle("inverse frequency", _BLUE, "square", "dash"),
    "compression": MixerStyle("compression", _GREEN, "diamond", "dot"),
    "salience": MixerStyle("learned salience", _SKY, "cross", "solid"),
    "every": MixerStyle("everything", _SKY, "pentagon", "dot"),
    "none": MixerStyle("window alone", GREY, "square-open", "dot"),
}


_MEMORIES = {
    EVERYTHING: MixerStyle("slots, everything written", _SKY, "pentagon", "solid"),
    "HML": MixerStyle("HML", _RED, "circle", "solid"),
    "gated DeltaNet": MixerStyle("gated DeltaNet", _GOLD, "star", "solid"),
    "Memorizing Transformer": MixerStyle("Memorizing Transformer", _BLUE, "square", "dash"),
    "RMT": MixerStyle("Recurrent Memory Transformer", _GREEN, "diamond", "dot"),
    WINDOW: MixerStyle("window alone", GREY, "square-open", "dot"),
}


def sparse_frontier(results: ResultSet) -> go.Figure:
    """Recall against the density that is written, a panel a kind, a line a gate; one set of weights a seed."""
    results = tuned(results)
    rows = frontier(results)
    rows = rows[rows["density"] > 0]
    kinds = [kind for kind in tables.KINDS if kind in set(rows["kind"])]
    fig, cells = panels(kinds, "density", "recall", height=240)
    for kind, where in zip(kinds, cells, strict=True):
        part = rows[rows["kind"] == kind]
        for gate, style in STYLES.items():
            line = part[part["gate"] == gate]
            if len(line) and gate != "every":
                add_seeds(fig, line, "density", what="recall", binomial=True, style=style, where=where)
        own = part[part["gate"] != "every"]
        fig.update_xaxes(**doubling_axis(own["density"]), **where)
        control = asked(results, "control", gate="chance", kind=kind)
        add_chance(fig, own["density"], float(control["value"].iloc[0]), where)
    accuracy_axis(fig)
    return room_for_legend(stamp(fig, results, rows["n"]))


def sparse_distance(results: ResultSet) -> go.Figure:
    """Recall against the distance to the fact, a panel a kind, at the headline's density.

    The window alone and everything written stand beside; of one distance the heaviest load.
    """
    results = tuned(results)
    rows = asked(results)
    heaviest = rows.groupby("distance")["facts"].transform("max")
    rows = rows[(rows["facts"] == heaviest) & rows["density"].isin((0.0, HEADLINE, 1.0))]
    rows = rows[rows["variant"].isin((EVERYTHING, LEARNED, WINDOW))]
    return _by_distance(results, rows, "gate", STYLES)


def sparse_rivals(results: ResultSet) -> go.Figure:
    """The same of everything written, and of other bounded memories; of one distance the lightest load."""
    results = tuned(results)
    rows = asked(results)
    rows = rows[rows["facts"] == rows.groupby("distance")["facts"].transform("min")]
    own = (rows["variant"] == EVERYTHING) & (rows["gate"] == "every")
    return _by_distance(results, rows[own | rows["variant"].isin((WINDOW, *RIVALS))], "variant", _MEMORIES)


def _by_distance(results: ResultSet, rows: pd.DataFrame, apart: str, styles: Mapping) -> go.Figure:
    """Recall over distance, a panel a kind, a line for each value of the column `apart`."""
    kinds = [kind for kind in tables.KINDS if kind in set(rows["kind"])]
    fig, cells = panels(kinds, "distance, tokens", "recall", height=240)
    for kind, where in zip(kinds, cells, strict=True):
        part = rows[rows["kind"] == kind]
        for name, style in styles.items():
            if len(line := part[part[apart] == name]):
                add_seeds(fig, line, "distance", what="recall", binomial=True, style=style, where=where)
        axis = doubling_axis(part["distance"])
        fig.update_xaxes(**axis | {"ticktext": [f"{tick / 1024:g}k" for tick in axis["tickvals"]]}, **where)
    accuracy_axis(fig)
    return room_for_legend(stamp(fig, results, rows["n"]))


def sparse_laws(results: ResultSet) -> go.Figure:
    """Slots without a model against their laws: survival over tokens, and cues held over their load."""
    survival, held = (asked(results, metric) for metric in ("survival", "held"))
    specs = {spec["variant"]: spec for spec in results.specs()}
    fig, cells = panels(["survival", "collisions"], "", "share that is found", columns=2)
    for variant, style in (
        ("random", _law("a random way goes", GREY)),
        ("oldest", _law("the oldest goes", _RED)),
    ):
        rows = survival[survival["variant"] == variant]
        if len(rows):
            size = (specs[variant][name] for name in ("density", "buckets", "ways"))
            law = _drawn(survival_by_law, rows["delta"], *size, variant == "oldest")
            _measured_and_law(fig, rows, "delta", law, style, cells[0])
    if len(held):
        law = _drawn(held_by_law, held["load"], specs["collisions"]["ways"])
        _measured_and_law(fig, held, "load", law, _law("cues that find a slot", _BLUE), cells[1])
    for title, x, rows, where in zip(
        ("tokens since", "cues a slot"), ("delta", "load"), (survival, held), cells, strict=True
    ):
        fig.update_xaxes(title_text=title, **(doubling_axis(rows[x]) if len(rows) else {}), **where)
    accuracy_axis(fig)
    return stamp(fig, results, [*survival["n"], *held["n"]])


def _law(label: str, color: str) -> MixerStyle:
    return MixerStyle(label, color, "circle", "solid")


def _drawn(law: Callable[..., float], values: pd.Series, *given: Any) -> dict[float, float]:
    """The law at thirty-three points from the least to the largest of `values`, evenly by ratio."""
    low, high, size = float(values.min()), float(values.max()), tuple(given)
    return {x: law(x, *size) for x in (low * (high / low) ** (i / 32) for i in range(33))}


def _measured_and_law(fig, rows: pd.DataFrame, x: str, law: Mapping[float, float], style, where) -> None:
    rows = rows.sort_values(x)
    bounds = [wilson_interval(value, int(n)) for value, n in zip(rows["value"], rows["n"], strict=True)]
    bars = {
        "type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
        "array": [high - value for (_, high), value in zip(bounds, rows["value"], strict=True)],
        "arrayminus": [value - low for (low, _), value in zip(bounds, rows["value"], strict=True)],
    }  # fmt: skip
    fig.add_trace(
        go.Scatter(
            x=list(rows[x]), y=list(rows["value"]), mode="markers", name=style.label, error_y=bars,
            meta="seeds", marker={"color": style.color, "symbol": style.symbol, "size": 8},
            legendgroup=style.label,
        ),
        **where,
    )  # fmt: skip
    fig.add_trace(
        go.Scatter(
            x=list(law), y=list(law.values()), mode="lines", name=style.label, showlegend=False, meta="law",
            line={"color": style.color, "width": 1.5}, legendgroup=style.label, hovertemplate="law %{y:.3f}",
        ),
        **where,
    )  # fmt: skip


def sparse_speed(results: ResultSet) -> go.Figure:
    """Tokens a second of one stream against its length: the window alone, and with a memory by three gates."""
    rows = results.metric("seconds_token")
    rows = rows.assign(value=1 / rows["value"])
    fig, (where,) = panels([""], "tokens in the stream", "tokens a second")
    for gate, variant in (
        ("none", WINDOW),
        ("every", "every"),
        ("random", "random"),
        ("surprisal", "surprisal"),
    ):
        line = rows[rows["variant"] == variant]
        if line.empty:
            continue
        add_seeds(fig, line, "length", what="tokens a second", style=STYLES[gate], where=where)
    fig.update_xaxes(**doubling_axis(rows["length"]), **where)
    fig.update_yaxes(rangemode="tozero")
    return room_for_legend(stamp(fig, results, rows["n"]))


FIGURES = {
    "sparse_frontier": Figure(
        "sparse_recall", sparse_frontier,
        "The frontier of gates: recall against the density that is written, a panel a kind of fact. All gates "
        f"write into the memory of the same weights. Dashed grey: chance. {SEEDS}",
    ),
    "sparse_far": Figure(
        "sparse_far", sparse_frontier,
        "The frontier of gates over half a million tokens: recall against the density that is written, a panel "
        f"a kind of fact. Every seed was asked for facts of its own. Dashed grey: chance. {SEEDS}",
    ),
    "sparse_distance": Figure(
        "sparse_recall", sparse_distance,
        "Recall against the distance between a fact and its question, a panel a kind, at one density; the "
        f"window alone and everything written beside. {SEEDS}",
    ),
    "sparse_rivals": Figure(
        "sparse_recall", sparse_rivals,
        "Slots beside other memories of bounded size, at equal parameters: recall against distance at the "
        f"lightest load, a panel a kind. {SEEDS}",
    ),
    "sparse_laws": Figure(
        "sparse_laws", sparse_laws,
        "Slots against their laws: the share that is still there, by which slot is driven out, and the share "
        "of cues that find a slot in their bucket. Lines: the laws; dots: measured, with Wilson intervals.",
    ),
    "sparse_speed": Figure(
        "sparse_speed", sparse_speed,
        "What a memory leaves of the window's speed: tokens a second of one stream against its length, "
        "measured in turns in one process.",
    ),
}  # fmt: skip
TABLES = tables.TABLES
