"""Every figure by name: from which experiment, by which function, with which caption."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import unknown
from hmlcore.figures.bytes import bytes_by_context, bytes_position, learning_curves
from hmlcore.figures.copy import copy_curves, copy_heatmaps
from hmlcore.figures.listops import listops_by_length, listops_learning, listops_ranking, listops_table
from hmlcore.figures.portrait import one_trace, phase_portrait
from hmlcore.figures.recall import recall_curves, recall_frontier
from hmlcore.figures.speed import speed_decode, speed_memory, speed_paths_table, speed_train
from hmlcore.figures.states import memory_states, memory_table, state_size_figure
from hmlcore.figures.tables import Table, models_table
from hmlcore.results import ResultSet, Store
from hmlcore.results.tuning import tuned

_SEEDS = (
    "Each dot is a seed, lines join their means; bars are 95 % t-intervals where there are five seeds or more."
)
_RINGS = (
    "A ring marks the length from which on a mixer is faster than attention. "
    "Where a line ends, a longer sequence was over the limit of time or memory."
)


@dataclass(frozen=True)
class Figure:
    """How one named figure comes about.

    Attributes:
        experiment: whose results it shows.
        function: draws it, from a ResultSet, or from a trace.
        caption: what is drawn, for the text below it.
        traced: the function takes a trace, of HML's first seed.
        every_mixer: it takes the traces of all mixers instead, of the first seed of each.
    """

    experiment: str
    function: Callable[..., go.Figure]
    caption: str
    traced: bool = False
    every_mixer: bool = False

    @property
    def function_name(self) -> str:
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def draw(self, store: Store, profile: str) -> tuple[go.Figure, ResultSet | pd.DataFrame]:
        """The figure and what it was drawn from. Raises HmlcoreError where the store lacks it."""
        if not self.traced:
            results = store.load(profile, self.experiment)
            return self.function(results), results
        trace = store.trace(profile, self.experiment, seed=0, **({} if self.every_mixer else {"mixer": "hml"}))
        # Every learning rate that was tried left a trace; the figure shows the one that was chosen.
        chosen = tuned(store.load(profile, self.experiment)).hashes
        trace = trace[trace["spec_hash"].isin(chosen)]
        trace = trace.reset_index(drop=True) if self.every_mixer else one_trace(trace)
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
    "listops_by_length": Figure(
        "lra_listops",
        listops_by_length,
        "ListOps: accuracy against the length below which the expressions stay, causal and bidirectional "
        "models apart. Dotted: the longest length of training; dashed grey: what the most frequent answer "
        f"scores. {_SEEDS}",
    ),
    "listops_ranking": Figure(
        "lra_listops",
        listops_ranking,
        "ListOps: accuracy averaged over the lengths named above each panel, the best causal mixer of the "
        "first panel on top. Each dot is a seed, filled for causal models and open for bidirectional ones; "
        "bars are their means. Dashed grey: what the most frequent answer scores.",
    ),
    "listops_learning": Figure(
        "lra_listops", listops_learning, "ListOps: training loss of causal models, one line a seed."
    ),
    "memory_states": Figure(
        "lra_listops",
        memory_states,
        "What each mixer's last block holds while it reads the expression on top: up to 48 components of its "
        "state, evenly spread, after every token. Each panel has its own scale of color. Where a panel is "
        "empty the state has not grown so far.",
        traced=True,
        every_mixer=True,
    ),
    "state_size": Figure(
        "speed",
        state_size_figure,
        "What a memory costs: bytes of state that one sequence needs and floating-point operations per token, "
        "against length, both axes logarithmic. Computed from the models' sizes, not measured.",
    ),
    "speed_train": Figure(
        "speed",
        speed_train,
        "Speed: time per token of forward and backward of one layer against length; all mixers timed in turns "
        f"in one process. {_RINGS}",
    ),
    "speed_decode": Figure(
        "speed", speed_decode, f"Speed: time of one decoded token against the tokens before it. {_RINGS}"
    ),
    "speed_memory": Figure(
        "speed",
        speed_memory,
        "Speed: most memory that forward and backward of one layer hold at once, in bytes per token, against "
        "length. Where a line ends, a longer sequence was over the limit of time or memory.",
    ),
}

TABLES: dict[str, tuple[str, Callable[[ResultSet], Table]]] = {
    **{f"{name}_models": (name, models_table) for name in ("copy", "recall", "bytes", "lra_listops")},
    "lra_listops_accuracy": ("lra_listops", listops_table),
    "speed_state": ("speed", memory_table),
    "speed_paths": ("speed", speed_paths_table),
}
"""Every table by name: from which experiment, by which function."""


def draw(name: str, store: Store, profile: str) -> go.Figure:
    """The figure called `name` from what `store` has at `profile`.

    Raises:
        HmlcoreError: unknown name (lists the known ones), or no results (names the command that makes them).
    """
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    return FIGURES[name].draw(store, profile)[0]
