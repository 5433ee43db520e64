"""The learning rate of each mixer, chosen on validation by the criterion that its results carry."""

from hmlcore.errors import require
from hmlcore.results.resultset import ResultSet


def tuned(results: ResultSet) -> ResultSet:
    """`results` at the best learning rate of each mixer, within each value of the experiment's factors.

    All of them, where no mixer tried more than one rate.

    Raises:
        HmlcoreError: several rates, and results without a criterion or without validation.
    """
    if results.chosen is None:
        results.chosen = _choose(results)
    return results.chosen


def _choose(results: ResultSet) -> ResultSet:
    runs, tuning = results.runs(), results.tuning
    by = [c for c in (tuning.by if tuning else ()) if c in runs]
    if (runs.groupby(["mixer", *by], dropna=False)["lr"].nunique() <= 1).all():
        return results
    require(
        tuning is not None,
        f"results of {results.experiment!r} hold several learning rates and no criterion that chooses among "
        "them: load them through their experiment (`results_of`, or `get_experiment(name).load`)",
    )
    return results.best_lr(tuning.metric, tuning.mode, by=by)
