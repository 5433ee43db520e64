"""The learning rate of each mixer, chosen on validation by the criterion that its results carry."""

from collections.abc import Collection

import pandas as pd

from hmlcore.errors import HmlcoreError
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


def at_edge(results: ResultSet) -> frozenset[str]:
    """The chosen runs (hashes) whose rate is the smallest or largest of several that their mixer tried in the
    same case: a rate beyond might be better.

    Raises: HmlcoreError as :func:`tuned` does.
    """
    runs, tuning, chosen = results.runs(), results.tuning, tuned(results)
    by = [c for c in ("mixer", *(tuning.by if tuning else ())) if c in runs]
    rates = runs.groupby(by, dropna=False)["lr"]
    low, high = rates.transform("min"), rates.transform("max")
    edge = (low < high) & ((runs["lr"] == low) | (runs["lr"] == high))
    return frozenset(edge.index[edge]) & frozenset(chosen.hashes)


def rates_text(rows: pd.DataFrame, edge: Collection[str]) -> str:
    """The rates of chosen runs, ascending: ``0.003, 0.01 (edge)`` where a run at .01 is one of `edge`."""
    marked = set(rows.loc[rows["spec_hash"].isin(edge), "lr"])
    return ", ".join(f"{lr:g}{' (edge)' * (lr in marked)}" for lr in sorted(set(rows["lr"].dropna())))


def _choose(results: ResultSet) -> ResultSet:
    runs, tuning = results.runs(), results.tuning
    by = [c for c in (tuning.by if tuning else ()) if c in runs]
    if (runs.groupby(["mixer", *by], dropna=False)["lr"].nunique() <= 1).all():
        return results
    if tuning is None:
        raise HmlcoreError(
            f"results of {results.experiment!r} hold several learning rates and no criterion that chooses "
            "among them: load them through their experiment (`results_of`, or `get_experiment(name).load`)"
        )
    return results.best_lr(tuning.metric, tuning.mode, by=by)
