"""The learning rate of each mixer, chosen on validation by the metric its experiment names."""

from hmlcore.errors import unknown
from hmlcore.results.resultset import ResultSet

# Symbols rather than whole payloads for copy: where no payload is right yet, symbols still tell rates apart.
CRITERION = {
    "copy": ("accuracy", "max"),
    "recall": ("accuracy", "max"),
    "bytes": ("bits_per_byte", "min"),
    "lra_listops": ("accuracy", "max"),
    "lra_text": ("accuracy", "max"),
    "bakeoff": ("bits_per_token", "min"),  # the one score that all its tasks have
    "synthetic_needle": ("bits_per_token", "min"),
    "synthetic_needle_text": ("bits_per_token", "min"),
    "synthetic_recall": ("bits_per_token", "min"),
    "synthetic_tasks": ("bits_per_token", "min"),
    "pg19": ("bits_per_token", "min"),
}
"""Experiment to the validation metric that chooses its learning rates, and whether more of it is better."""


def tuned(results: ResultSet) -> ResultSet:
    """`results` at the best learning rate of each mixer, width, corpus, direction, variant and task.

    All of them, where no mixer tried more than one rate.

    Raises:
        HmlcoreError: several rates, and an experiment without an entry in :data:`CRITERION` or no validation.
    """
    runs = results.runs()
    by = [c for c in ("d_model", "corpus", "direction", "variant", "task") if c in runs]
    if (runs.groupby(["mixer", *by], dropna=False)["lr"].nunique() <= 1).all():
        return results
    if results.experiment not in CRITERION:
        raise unknown("experiment", results.experiment, CRITERION)
    metric, mode = CRITERION[results.experiment]
    return results.best_lr(metric, mode, by=by)
