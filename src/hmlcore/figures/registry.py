"""Every figure by name: from which experiment, by which function, with which caption."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import unknown
from hmlcore.figures.bytes import bytes_by_context, bytes_position, learning_curves
from hmlcore.figures.copy import copy_curves, copy_heatmaps
from hmlcore.figures.portrait import one_trace, phase_portrait
from hmlcore.figures.recall import recall_curves, recall_frontier
from hmlcore.results import ResultSet, Store
from hmlcore.results.tuning import tuned

_SEEDS = (
    "Each dot is a seed, lines join their means; bars are 95 % t-intervals where there are five seeds or more."
)


@dataclass(frozen=True)
class Figure:
    """How one named figure comes about.

    Attributes:
        experiment: whose results it shows.
        function: draws it, from a ResultSet, or from a trace.
        caption: what is drawn, for the text below it.
        traced: the function takes a trace, of HML's first seed.
    """

    experiment: str
    function: Callable[..., go.Figure]
    caption: str
    traced: bool = False

    @property
    def function_name(self) -> str:
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def draw(self, store: Store, profile: str) -> tuple[go.Figure, ResultSet | pd.DataFrame]:
        """The figure and what it was drawn from. Raises HmlcoreError where the store lacks it."""
        if not self.traced:
            results = store.load(profile, self.experiment)
            return self.function(results), results
        trace = store.trace(profile, self.experiment, mixer="hml", seed=0)
        # Every learning rate that was tried left a trace; the figure shows the one that was chosen.
        chosen = tuned(store.load(profile, self.experiment)).hashes
        trace = one_trace(trace[trace["spec_hash"].isin(chosen)])
        return self.function(trace), trace


FIGURES: dict[str, Figure] = {
    "copy_heatmaps": Figure(
        "copy",
        copy_heatmaps,
        "Copy: share of payloads repeated without an error, in percent, over payload and delay; mean of the "
        "seeds, each of which is in the hover text. Inside the outline lie the conditions trained on.",
    ),
    "copy_curves": Figure(
        "copy",
        copy_curves,
        "Copy: share of payloads repeated without an error against delay, one panel a payload. "
        f"Dotted: the longest delay of training. {_SEEDS}",
    ),
    "copy_learning": Figure("copy", learning_curves, "Copy: training loss against steps, one line a seed."),
    "recall_frontier": Figure(
        "recall",
        recall_frontier,
        "Recall: accuracy against the bytes of state that one sequence needs; the slider sets the number of "
        f"pairs. Along a line the width of the model grows. {_SEEDS}",
    ),
    "recall_curves": Figure(
        "recall",
        recall_curves,
        "Recall: accuracy against the number of pairs, one panel a width. "
        f"Dotted: the most pairs of training. {_SEEDS}",
    ),
    "recall_learning": Figure(
        "recall", learning_curves, "Recall: training loss against steps, one line a seed."
    ),
    "bytes_by_context": Figure(
        "bytes",
        bytes_by_context,
        "Real text: bits per byte against the length of the context, lower is better. "
        f"Dotted: the context of training. {_SEEDS}",
    ),
    "bytes_position": Figure(
        "bytes",
        bytes_position,
        "Real text: bits per byte against the position in the longest window tested. "
        f"Dotted: the context of training. {_SEEDS}",
    ),
    "bytes_learning": Figure(
        "bytes", learning_curves, "Real text: training loss against steps, one line a seed."
    ),
    "phase_portrait": Figure(
        "bytes",
        phase_portrait,
        "One trained head reading real text. Left: its state in phase space, position q against momentum p. "
        "Right: its energy, and the gates that each token sets: what it writes (β), and what it keeps of the "
        "momentum (γ) and of the state (α). The slider moves through the text.",
        traced=True,
    ),
}


def draw(name: str, store: Store, profile: str) -> go.Figure:
    """The figure called `name` from what `store` has at `profile`.

    Raises:
        HmlcoreError: unknown name (lists the known ones), or no results (names the command that makes them).
    """
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    return FIGURES[name].draw(store, profile)[0]
