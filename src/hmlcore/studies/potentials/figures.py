"""What each potential recalls and counts, and what it costs."""

import pandas as pd
import plotly.graph_objects as go

from hmlcore.figures.marks import accuracy_axis, add_chance, add_limit, add_seeds, doubling_axis, panels
from hmlcore.figures.style import dynamics_in_order, dynamics_style, stamp
from hmlcore.figures.tables import Table, render
from hmlcore.results import ResultSet
from hmlcore.results.text import three
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.figure import SEEDS, Figure, TableOf
from hmlcore.studies.kit.study import trained

_AXES = {"recall": ("pairs", "pairs"), "sums modulo 3": ("length", "symbols")}
_CHANCE = {"sums modulo 3": 1 / 3}


def potentials(results: ResultSet) -> go.Figure:
    """Accuracy against the load, a panel a task, a line a dynamics, every seed a dot.

    Dotted: the most of training. Dashed grey: chance, where it is known.
    """
    results = tuned(results)
    fig, cells = panels(list(_AXES), "pairs, or symbols of a sum", "accuracy", height=340)
    for (task, (x, unit)), where in zip(_AXES.items(), cells, strict=True):
        part = results.where(task=task)
        rows = part.metric("accuracy")
        most = max(trained(part.specs(), x))
        add_limit(fig, most, (0, 1), f"most {unit} of training: {most}", where)
        if task in _CHANCE:
            add_chance(fig, rows[x], _CHANCE[task], where)
        for name in dynamics_in_order(rows["variant"]):
            own = rows[rows["variant"] == name]
            add_seeds(fig, own, x, what="accuracy", binomial=True, style=dynamics_style(name), where=where)
        fig.update_xaxes(**doubling_axis(rows[x]), title_text=unit, **where)
    accuracy_axis(fig)
    return stamp(fig, results, results.metric("accuracy")["n"])


def potentials_table(results: ResultSet) -> Table:
    """Accuracy, mean over the test conditions, and what a run cost; a row a dynamics."""
    chosen = tuned(results)
    rows, runs = chosen.metric("accuracy"), chosen.runs()
    lines = []
    for name in dynamics_in_order(rows["variant"]):
        own, cost = rows[rows["variant"] == name], runs[runs["variant"] == name]
        line = {"dynamics": dynamics_style(name).label}
        line |= {task: f"{own.loc[own['task'] == task, 'value'].mean():.3f}" for task in _AXES}
        line |= {
            "parameters": f"{cost['parameters'].min():,}–{cost['parameters'].max():,}",
            "kFLOPs a token": f"{own['flops_per_token'].mean() / 1e3:.4g}",
            "tokens a second": three(cost["tokens_per_s"].mean()),
        }
        lines.append(line)
    note = f"{chosen.stamp()} · means over seeds and test conditions; speed in training, beside other runs"
    return render(pd.DataFrame(lines), note=note, caption="Potentials of the memory.")


FIGURES = {
    "potentials": Figure(
        "potentials",
        potentials,
        "Potentials: accuracy of recall against the number of pairs, and of sums modulo 3 against length, a "
        f"line a dynamics. Dotted: the most of training; dashed grey: chance, where it is known. {SEEDS}",
    )
}
TABLES = {"potentials_scores": TableOf("potentials", potentials_table)}
