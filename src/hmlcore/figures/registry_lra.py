"""The figures and tables of LRA Text by name, for the registry: experiment, function, caption."""

from collections.abc import Callable

import plotly.graph_objects as go

from hmlcore.figures.lra_text import text_by_length, text_costs, text_learning, text_scores
from hmlcore.figures.registry_synthetic import SEEDS
from hmlcore.figures.tables import Table
from hmlcore.results import ResultSet

LRA_FIGURES: dict[str, tuple[str, Callable[[ResultSet], go.Figure], str]] = {
    "lra_text_by_length": (
        "lra_text",
        text_by_length,
        "Reviews: accuracy against the bytes that are read of each, causal and bidirectional models apart. "
        f"Dotted: the length of training; dashed grey: what the most frequent answer scores. {SEEDS}",
    ),
    "lra_text_learning": (
        "lra_text",
        text_learning,
        "Reviews: accuracy on the batches of training, each scored before it is learned from, against steps; "
        "the mean of the latest fifth of the training and of the seeds, each of which is in the hover text.",
    ),
}

LRA_TABLES: dict[str, tuple[str, Callable[[ResultSet], Table]]] = {
    "lra_text_scores": ("lra_text", text_scores),
    "lra_text_costs": ("lra_text", text_costs),
}
