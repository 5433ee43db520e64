"""The figures and tables of the controlled tasks by name, for the registry: experiment, function, caption."""

from collections.abc import Callable

import plotly.graph_objects as go

from hmlcore.figures.needle import needle_by_length, needle_map, ruler_table
from hmlcore.figures.synthetic import synthetic_frontier
from hmlcore.figures.synthetic_gradient import gradient_table, synthetic_gradients, synthetic_probes
from hmlcore.figures.synthetic_tasks import ablations, tasks_by_length, tasks_table
from hmlcore.figures.tables import Table
from hmlcore.results import ResultSet

SEEDS = (
    "Each dot is a seed, lines join their means; bars are 95 % t-intervals where there are five seeds or more."
)
"""What every caption says about seeds."""

SYNTHETIC_FIGURES: dict[str, tuple[str, Callable[[ResultSet], go.Figure], str]] = {
    "needle_map": (
        "synthetic_needle",
        needle_map,
        "Needle: accuracy in percent over the depth at which the needle lies, a row a mixer, mean of the "
        "seeds, each of which is in the hover text with the Wilson interval of all answers; the slider sets "
        "the length.",
    ),
    "needle_by_length": (
        "synthetic_needle",
        needle_by_length,
        "Needle: accuracy, mean over depths, against length. Dotted: the longest length of training; dashed "
        f"grey: chance. {SEEDS}",
    ),
    "needle_text_map": (
        "synthetic_needle_text",
        needle_map,
        "Needle in prose: whole answers right, in percent, over the depth at which the needle lies, a row a "
        "mixer, mean of the seeds, each of which is in the hover text with the Wilson interval of all answers; "
        "the slider sets the length.",
    ),
    "needle_text_by_length": (
        "synthetic_needle_text",
        needle_by_length,
        "Needle in prose: whole answers right, mean over depths, against length in bytes. Dotted: the longest "
        f"length of training; dashed grey: chance. {SEEDS}",
    ),
    "synthetic_frontier": (
        "synthetic_recall",
        synthetic_frontier,
        "Recall of all mixers: accuracy against the bytes of state of one sequence, along a line the width of "
        "the model grows; the slider sets the number of pairs. Dashed grey: the bytes of information in the "
        f"pairs. {SEEDS}",
    ),
    "tasks_by_length": (
        "synthetic_tasks",
        tasks_by_length,
        "Controlled tasks: accuracy against length, for overwrite a panel a number of keys; of copy the share "
        "of whole messages against delay, a panel a payload; of adding the share of sums within .01. Dotted: "
        f"the longest of training; dashed grey: chance, where it is known. {SEEDS}",
    ),
    "synthetic_gradients": (
        "synthetic_gradient",
        synthetic_gradients,
        "How far back learning reaches: norm of the gradient by the input and by the state so many tokens ago, "
        "before and after training on copy; geometric mean of the seeds, each of which is in the hover text. "
        "Open dots lie at the floor of single precision; HML's variants of damping share its color.",
    ),
    "synthetic_probes": (
        "synthetic_gradient",
        synthetic_probes,
        "What is legible: left, how often a linear probe of the state reads a symbol so many tokens later, "
        f"dashed grey what a guess reads; right, accuracy on copy with noise on the embeddings. {SEEDS}",
    ),
    "ablations": (
        "synthetic_ablation",
        ablations,
        "Ablations of the first proposal: accuracy minus that of the base with the same seed, mean over the "
        "test conditions, by factor: A1 damping, A2 injection, A3 integrator, A4 penalty on the energy, A5 "
        "step. Each dot is a seed, bars are their means.",
    ),
}

SYNTHETIC_TABLES: dict[str, tuple[str, Callable[[ResultSet], Table]]] = {
    "ruler": ("synthetic_needle", ruler_table),
    "ruler_text": ("synthetic_needle_text", ruler_table),
    "synthetic_tasks_longest": ("synthetic_tasks", tasks_table),
    "synthetic_early_late": ("synthetic_gradient", gradient_table),
}
