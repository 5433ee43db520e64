"""Every figure by name: from which experiment, by which function, with which caption."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from hmlcore.errors import unknown
from hmlcore.figures.bakeoff import bakeoff_models, bakeoff_scores, bakeoff_table
from hmlcore.figures.bytes import bytes_by_context, bytes_position, learning_curves
from hmlcore.figures.copy import copy_curves, copy_heatmaps
from hmlcore.figures.listops import listops_by_length, listops_learning, listops_ranking, listops_table
from hmlcore.figures.lyapunov import lyapunov_map
from hmlcore.figures.op_speed import op_decode, op_goals_table, op_train
from hmlcore.figures.orbits import phase_portraits
from hmlcore.figures.physics import energy_by_token, gradient_by_lag, reversal_error
from hmlcore.figures.portrait import one_trace, phase_portrait
from hmlcore.figures.recall import recall_curves, recall_frontier
from hmlcore.figures.registry_lra import LRA_FIGURES, LRA_TABLES
from hmlcore.figures.registry_pg19 import PG19_FIGURES, PG19_TABLES
from hmlcore.figures.registry_synthetic import SEEDS as _SEEDS
from hmlcore.figures.registry_synthetic import SYNTHETIC_FIGURES, SYNTHETIC_TABLES
from hmlcore.figures.speed import speed_decode, speed_memory, speed_paths_table, speed_train
from hmlcore.figures.states import memory_states, memory_table, state_size_figure
from hmlcore.figures.tables import Table, models_table
from hmlcore.results import ResultSet, Store
from hmlcore.results.tuning import tuned

_RINGS = (
    "A ring marks the length from which on a line stays below attention's. "
    "Where a line ends, a longer sequence was over the limit of time or memory."
)

_LIMITS = "Dotted, for HML and attention: what the machine cannot beat,"


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
    "bakeoff_scores": Figure(
        "bakeoff",
        bakeoff_scores,
        "The bake-off: what each member of the family scores on the five tasks, the lowest mean rank on top. "
        "Each dot is a seed, bars are their means; open where heads rotate or an angle comes from the token. "
        "Dashed: gated DeltaNet (delta).",
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
        f"in one process. {_LIMITS} three forward passes at the rate of a large matrix product. {_RINGS}",
    ),
    "speed_decode": Figure(
        "speed",
        speed_decode,
        f"Speed: time of one decoded token against the tokens before it. {_LIMITS} weights and state read once "
        f"at the bandwidth of a copy. {_RINGS}",
    ),
    "speed_memory": Figure(
        "speed",
        speed_memory,
        "Speed: most memory that forward and backward of one layer hold at once, in bytes per token, against "
        "length. Where a line ends, a longer sequence was over the limit of time or memory.",
    ),
    "op_train": Figure(
        "op_speed",
        op_train,
        "Ops without a layer: time per token of forward and backward against length, timed in turns in one "
        "process; memories at equal state bytes but for HML with p = 1, which has half. Dotted, one line for "
        "ops that share it: what the machine cannot beat, the larger of bytes that must be moved over its copy "
        f"bandwidth and FLOPs over its matrix-product rate. {_RINGS}",
    ),
    "op_decode": Figure(
        "op_speed",
        op_decode,
        "Ops without a layer: one decoded token against the tokens before it. Above, its time; dotted, what "
        "the machine cannot beat. Below, the bytes that have to be moved for it: state, operands and output.",
    ),
    "op_memory": Figure(
        "op_speed",
        speed_memory,
        "Ops without a layer: most memory that forward and backward hold at once beside their operands, in "
        "bytes per token, against length.",
    ),
    "lyapunov_map": Figure(
        "physics",
        lyapunov_map,
        "Where the memory is stable: largest Lyapunov exponent under random unit keys, blue where an error "
        "fades and orange where it grows; α = 1 but in the map of the delta rule. Dashed: the rule "
        "η = 1.5(1 − γ); solid: the boundary of wide keys, 2(1 − γ); dotted: the bound of one constant key, "
        "2(1 + γ); rings: where the exponent was measured to cross zero. Buttons choose the dynamics.",
    ),
    "reversal_error": Figure(
        "physics",
        reversal_error,
        "The way back in single precision: relative error of the start after a number of tokens and the exact "
        "inverse of each, mean of the key sequences. A line ends where the error is as large as the start "
        "itself (dotted).",
    ),
    "energy_by_token": Figure(
        "physics",
        energy_by_token,
        "Energy of the memory without input, over that at the start, geometric mean of the key sequences. With "
        "one constant key: of what it addresses; with changing keys: averaged over all keys.",
    ),
    "gradient_by_lag": Figure(
        "physics",
        gradient_by_lag,
        "What a value written long ago still does: length of the gradient of an output channel with respect to "
        "it, untrained memories with constant gates, root mean square over key sequences and queries. Lines "
        "that explode or vanish leave the picture.",
    ),
    "phase_portraits": Figure(
        "physics",
        phase_portraits,
        "Every dynamics of the memory, untrained and with equal friction, driven by the same keys and values. "
        "Above, one association in phase space: what its key recalls (q) against the momentum; the oscillator "
        "has the imaginary part of the recall there, and the delta rule, which has no momentum, the change of "
        "q by a token. Below, the energy of the head over its largest.",
        traced=True,
        every_mixer=True,
    ),
    **{name: Figure(*parts) for name, parts in (SYNTHETIC_FIGURES | LRA_FIGURES | PG19_FIGURES).items()},
}

TABLES: dict[str, tuple[str, Callable[[ResultSet], Table]]] = {
    **{f"{name}_models": (name, models_table) for name in ("copy", "recall", "bytes", "lra_listops")},
    "lra_listops_accuracy": ("lra_listops", listops_table),
    "bakeoff_standings": ("bakeoff", bakeoff_table),
    "bakeoff_models": ("bakeoff", bakeoff_models),
    "speed_state": ("speed", memory_table),
    "speed_paths": ("speed", speed_paths_table),
    **SYNTHETIC_TABLES,
    **LRA_TABLES,
    **PG19_TABLES,
    "op_goals": ("op_speed", op_goals_table),
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
