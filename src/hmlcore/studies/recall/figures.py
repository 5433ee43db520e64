"""The figures, tables and numbers of recall."""

from hmlcore.figures.learning import learning_curves
from hmlcore.figures.tables import models_table
from hmlcore.results import ResultSet
from hmlcore.results.text import bytes_text, three
from hmlcore.studies.kit.figure import CROWD, SEEDS, Figure, TableOf
from hmlcore.studies.kit.study import trained
from hmlcore.studies.recall.bound import synthetic_frontier
from hmlcore.studies.recall.frontier import recall_curves, recall_frontier

FIGURES = {
    "recall_frontier": Figure(
        "recall",
        recall_frontier,
        "Recall: accuracy against the bytes of state that one sequence needs; the slider sets the number of "
        f"pairs. Along a line the width of the model grows. {SEEDS}",
    ),
    "recall_curves": Figure(
        "recall",
        recall_curves,
        "Recall: accuracy against the number of pairs, one panel a width. "
        f"Dotted: the most pairs of training. {SEEDS}",
    ),
    "recall_learning": Figure(
        "recall", learning_curves, "Recall: training loss against steps, one line a seed."
    ),
    "synthetic_frontier": Figure(
        "synthetic_recall",
        synthetic_frontier,
        "Recall of all mixers: accuracy against the bytes of state of one sequence, along a line the width of "
        "the model grows; the slider sets the number of pairs. Dashed grey: the bytes of information in the "
        f"pairs. {CROWD} {SEEDS}",
    ),
}

TABLES = {
    "recall_models": TableOf("recall", models_table),
}


def _best(results: ResultSet) -> dict[str, str]:
    """The most pairs of training, and what HML and attention recall of them at their best width; its state."""
    pairs = max(trained(results.specs(), "pairs"))
    found = {"recall_pairs_trained": f"{pairs:,}"}
    rows = results.metric("accuracy", pairs=pairs, mixer=["hml", "attention"])
    for mixer, part in rows.groupby("mixer"):
        widths = part.groupby("d_model")[["value", "state_bytes"]].mean()
        best = widths.iloc[int(widths["value"].argmax())]
        found[f"recall_{mixer}_best"] = three(best["value"])
        found[f"recall_{mixer}_best_state"] = bytes_text(best["state_bytes"])
    return found


NUMBERS = {"recall": _best}
