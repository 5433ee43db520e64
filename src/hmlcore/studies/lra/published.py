"""Published accuracies on Long Range Arena's ListOps and Text, with where they stand, beside our own."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from hmlcore.figures.style import DIRECTIONS, mixer_style
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned
from hmlcore.studies.lra.claims import trained_length
from hmlcore.studies.lra.listops import trained_lengths


class Published(NamedTuple):
    """Accuracies in percent, None where the source has none.

    Attributes:
        reads: "bidirectional", or "not stated".
        source: where the numbers stand; "in" where it quotes another work.
        remark: what the row should not be read without.
    """

    model: str
    listops: float | None
    text: float | None
    reads: str
    source: str
    remark: str = ""


_ARENA = "Long Range Arena, its code's README (commit cd31e5c)"
_HRR = "Hrrformer, its code's README (commit 8a127d1)"
_LION = "in LION (arXiv 2502.16249), Table 7"
_CHARACTERS = "Text as characters, not bytes"
_MAMBA = "numbers for Mamba disagree"

PUBLISHED = (
    Published("Transformer", 36.37, 64.27, "bidirectional", _ARENA,
              "on a par with S4 after pretraining on the task's own data (arXiv 2310.02980)"),
    Published("Linear Transformer", 16.13, 65.90, "bidirectional", _ARENA),
    Published("Performer", 18.01, 65.40, "bidirectional", _ARENA),
    Published("Reformer", 37.27, 56.10, "bidirectional", _ARENA),
    Published("BigBird", 36.05, 64.02, "bidirectional", _ARENA),
    Published("Luna-256", 37.98, 65.78, "bidirectional", "in " + _HRR),
    Published("H-Transformer-1D", 49.53, 78.69, "bidirectional", "in " + _HRR),
    Published("Hrrformer, one layer", 38.79, 66.50, "bidirectional", _HRR),
    Published("DSS", 57.60, 76.60, "bidirectional", _LION),
    Published("S4, first version", 58.35, 76.02, "bidirectional", "S4 (arXiv 2111.00396)", _CHARACTERS),
    Published("S4, later version", 59.60, 86.82, "bidirectional", "S4 (arXiv 2111.00396)",
              f"{_CHARACTERS}; its code's notes (commit e757cef) have 59.5 and 86.5"),
    Published("S5", 62.15, 89.31, "bidirectional", "S5 (arXiv 2208.04933)", _CHARACTERS),
    Published("LRU", 60.20, 89.40, "bidirectional", _LION),
    Published("Mega", 63.14, 90.43, "bidirectional", _LION, "some ten times the parameters of the others"),
    Published("Mega, chunked", 58.76, 90.19, "bidirectional", _LION),
    Published("LION-S", 62.25, 88.10, "bidirectional", "LION (arXiv 2502.16249), Table 7"),
    Published("Mamba, as run by xLSTM's authors", 32.50, None, "not stated", _LION, _MAMBA),
    Published("Mamba, as run for a survey of 2024", 38.02, 82.98, "not stated", "Alonso et al. 2024",
              f"{_MAMBA}; not checked at the source"),
    Published("xLSTM", 41.10, None, "not stated", _LION),
)  # fmt: skip
"""In the order of the table. For HML, LinOSS, RetNet and Hyena no published number on these two was found."""
OURS = ("hml", "attention", "mamba")
"""HML, and those of our mixers that stand among the published."""


def lra_published(listops: ResultSet | None, text: ResultSet | None) -> Table:
    """Ours, in both directions, above the published; where one of our results is None its cells are empty.

    Of ours the longest length of training, means over seeds; the published are at 2,000 tokens and, but where a
    remark says otherwise, 4,096 bytes. Parameters: none of the sources states them beside its table.
    """
    scored = {"ListOps": _at(listops, lambda results: max(trained_lengths(results))),
              "Text": _at(text, trained_length)}  # fmt: skip
    lines = [
        {
            "model": f"{mixer_style(mixer).label}, ours",
            **{task: _percent(means, mixer, direction) for task, (means, _) in scored.items()},
            "reads": direction, "parameters": _parameters((listops, text), mixer),
            "source": "this book", "remark": "shorter inputs, less training",
        }
        for mixer in OURS
        for direction in DIRECTIONS
    ]  # fmt: skip
    lines += [
        {
            "model": row.model, "ListOps": _shown(row.listops), "Text": _shown(row.text), "reads": row.reads,
            "parameters": "", "source": row.source, "remark": row.remark,
        }
        for row in PUBLISHED
    ]  # fmt: skip
    stamps = list(dict.fromkeys(results.stamp() for results in (listops, text) if results is not None))
    lengths = [f"{task} to {length:,}" for task, (_, length) in scored.items() if length]
    ours = f"ours: {', '.join(stamps)}, {' and '.join(lengths)} tokens. " if lengths else ""
    note = (
        f"{ours}Published: ListOps to 2,000 tokens, Text to 4,096; percent, none run again "
        "here; rows in LION were read in a transcription. An empty cell: not published, or not run yet"
    )
    return render(pd.DataFrame(lines), note=note, caption="Ours and published accuracies; not comparable.")


def _at(results: ResultSet | None, length: Callable[[ResultSet], int]) -> tuple[pd.Series, int]:
    """Test accuracies by mixer and direction at the longest length of training, and that length."""
    if results is None:
        return pd.Series(dtype=float), 0
    rows = tuned(results).metric("accuracy", length=length(results))
    return rows.groupby(["mixer", "direction"])["value"].mean(), length(results)


def _parameters(several: tuple[ResultSet | None, ...], mixer: str) -> str:
    """Of our models on ListOps and on Text: the vocabularies differ."""
    found = [results.frame for results in several if results is not None]
    counts = [frame.loc[frame["mixer"] == mixer, "parameters"].max() for frame in found]
    return " and ".join(f"{count:,.0f}" for count in counts if count == count)


def _percent(means: pd.Series, mixer: str, direction: str) -> str:
    return f"{100 * means[mixer, direction]:.1f}" if (mixer, direction) in means.index else ""


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
