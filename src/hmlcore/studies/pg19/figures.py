"""The figures and tables of the books."""

from hmlcore.studies.kit.figure import CROWD, SEEDS, Figure, TableOf
from hmlcore.studies.pg19.curves import pg19_by_context, pg19_learning, pg19_position, pg19_tokenizers
from hmlcore.studies.pg19.tables import pg19_costs, pg19_samples, pg19_scores

FIGURES = {
    "pg19_by_context": Figure(
        "pg19",
        pg19_by_context,
        "Books: bits per byte against the tokens of context, lower is better; the same tokens are scored at "
        "every context, the longest is all that is read of a book. A panel a way of training. Dotted: the "
        f"context of training. {CROWD} {SEEDS}",
    ),
    "pg19_position": Figure(
        "pg19",
        pg19_position,
        "Books: left, bits per byte by position in the book with all before it in memory; right, what they are "
        "above or below those within the training context, on the same tokens: negative where the longer "
        "memory is worth something. Means over seeds, each in the hover text; a slider chooses the book. "
        f"{CROWD}",
    ),
    "pg19_tokenizers": Figure(
        "pg19",
        pg19_tokenizers,
        "Books: byte pairs against bytes, bits per byte against the bytes of text in view, the mixers that "
        f"read both. Dotted: the context of training. {SEEDS}",
    ),
    "pg19_learning": Figure(
        "pg19",
        pg19_learning,
        "Books: training loss against the text read, one line a seed, HML thick; a panel a tokenizer and way "
        f"of training, whose losses are not comparable. {CROWD}",
    ),
}

TABLES = {
    "pg19_scores": TableOf("pg19", pg19_scores),
    "pg19_costs": TableOf("pg19", pg19_costs),
    "pg19_samples": TableOf("pg19", pg19_samples),
}
