"""The figures and tables of the books by name, for the registry: experiment, function, caption."""

from collections.abc import Callable

import plotly.graph_objects as go

from hmlcore.figures.pg19 import pg19_by_context, pg19_learning, pg19_position, pg19_tokenizers
from hmlcore.figures.pg19_tables import pg19_costs, pg19_samples, pg19_scores
from hmlcore.figures.registry_synthetic import SEEDS
from hmlcore.figures.tables import Table
from hmlcore.results import ResultSet

PG19_FIGURES: dict[str, tuple[str, Callable[[ResultSet], go.Figure], str]] = {
    "pg19_by_context": (
        "pg19",
        pg19_by_context,
        "Books: bits per byte against the tokens of context, lower is better; the longest context is all that "
        "is read of a book. A panel a way of training. Dotted: the context of training. " + SEEDS,
    ),
    "pg19_position": (
        "pg19",
        pg19_position,
        "Books: left, bits per byte by position in the book with all before it in memory; right, what they are "
        "above or below those within the training context, on the same tokens: negative where the longer "
        "memory is worth something. Means over seeds, each in the hover text; a slider chooses the book.",
    ),
    "pg19_tokenizers": (
        "pg19",
        pg19_tokenizers,
        "Books: byte pairs against bytes, bits per byte against the bytes of text in view, the mixers that "
        f"read both. Dotted: the context of training. {SEEDS}",
    ),
    "pg19_learning": (
        "pg19",
        pg19_learning,
        "Books: training loss against the text read, one line a seed, HML thick; a panel a tokenizer and way "
        "of training, whose losses are not comparable.",
    ),
}

PG19_TABLES: dict[str, tuple[str, Callable[[ResultSet], Table]]] = {
    "pg19_scores": ("pg19", pg19_scores),
    "pg19_costs": ("pg19", pg19_costs),
    "pg19_samples": ("pg19", pg19_samples),
}
