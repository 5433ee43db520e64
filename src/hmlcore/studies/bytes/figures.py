"""Byte-level language modelling: bits per byte against context, by position, and how training went."""

import plotly.graph_objects as go

from hmlcore.errors import require
from hmlcore.figures.learning import learning_curves
from hmlcore.figures.marks import (
    add_limit,
    add_seeds,
    doubling_axis,
    panels,
)
from hmlcore.figures.style import in_order, stamp
from hmlcore.figures.tables import models_table
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.figure import SEEDS, Figure, TableOf


def bytes_by_context(results: ResultSet) -> go.Figure:
    """Bits per byte against the length of the context, a panel a corpus, every seed a dot; lower is better.

    The dotted line marks the longest context of training.
    """
    results = tuned(results)
    rows = results.metric("bits_per_byte")
    corpora = sorted(set(rows["corpus"]))
    fig, cells = panels(corpora, "context (bytes)", "bits per byte")
    for corpus, where in zip(corpora, cells, strict=True):
        here = rows[rows["corpus"] == corpus]
        _limit(fig, results, here["value"], where)
        for mixer in in_order(here["mixer"]):
            part = here[here["mixer"] == mixer]
            add_seeds(fig, part, "context", what="bits per byte", where=where)
    fig.update_xaxes(**doubling_axis(rows["context"]))
    return stamp(fig, results, rows["n"])


def bytes_position(results: ResultSet, context: int | None = None) -> go.Figure:
    """Bits per byte against the position in the window, a panel a corpus: what a longer past is worth.

    Args:
        context: length of the window, the longest if not given.
    """
    results = tuned(results)
    rows = results.metric("bits_per_byte_at")
    if "context" in rows:
        context = max(rows["context"]) if context is None else context
        rows = rows[rows["context"] == context]
        require(len(rows) > 0, f"no bits per byte by position at context {context}")
    corpora = sorted(set(rows["corpus"]))
    fig, cells = panels(corpora, "position in the window (start of bin, bytes)", "bits per byte")
    for corpus, where in zip(corpora, cells, strict=True):
        here = rows[rows["corpus"] == corpus]
        _limit(fig, results, here["value"], where)
        for mixer in in_order(here["mixer"]):
            part = here[here["mixer"] == mixer]
            add_seeds(fig, part, "position", what="bits per byte", where=where)
    return stamp(fig, results, rows["n"])


def _limit(fig: go.Figure, results: ResultSet, values, where: dict) -> None:
    trained = [item["length"] for spec in results.specs() for item in spec.get("train", []) if "length" in item]
    if trained:
        span = float(values.min()), float(values.max())
        add_limit(fig, max(trained), span, f"longest context of training: {max(trained)}", where)


FIGURES = {
    "bytes_by_context": Figure(
        "bytes",
        bytes_by_context,
        "Real text: bits per byte against the length of the context, lower is better. "
        f"Dotted: the context of training. {SEEDS}",
    ),
    "bytes_position": Figure(
        "bytes",
        bytes_position,
        "Real text: bits per byte against the position in the longest window tested. "
        f"Dotted: the context of training. {SEEDS}",
    ),
    "bytes_learning": Figure(
        "bytes", learning_curves, "Real text: training loss against steps, one line a seed."
    ),
}

TABLES = {
    "bytes_models": TableOf("bytes", models_table),
}
