"""The families of tasks by name, and their scores out of a store: more is better. Needs no torch."""

from collections.abc import Collection

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned

FAMILIES: dict[str, tuple[str, ...]] = {
    "copy": ("copy",),
    "recall": ("recall",),
    "needle": ("needle",),
    "sums": ("parity", "sums modulo 5", "recurrences"),
    "expressions": ("expressions",),
    "books": ("bytes",),
}
"""Family → its cases, each a training of its own. Byte pairs are a case of no family: see `kit.families`."""
FAMILY = {case: family for family, cases in FAMILIES.items() for case in cases}


CONDITIONS = ("payload", "delay", "pairs", "length", "group", "order")
"""Columns by which the conditions of one case differ."""


def condition_scores(results: ResultSet, split: str) -> pd.DataFrame:
    """Columns spec_hash, task, variant, seed, score, and those of :data:`CONDITIONS` that are there: accuracy,
    or of text minus the bits a byte.

    Where rotors were snapped, the accuracy that they have then. A diverged run scores −inf.
    """
    rows = tuned(results).frame
    rows = rows[rows["split"] == split]
    keys = ["spec_hash", "task", "variant", "seed", *(c for c in CONDITIONS if c in rows)]

    def values(metric: str) -> pd.DataFrame:
        return rows.loc[rows["metric"] == metric, [*keys, "value"]].rename(columns={"value": metric})

    table = values("score").fillna({"score": float("-inf")})
    for metric in ("accuracy_snapped", "bytes_per_token"):
        table = table.merge(values(metric), how="left", on=keys)
    score = table.pop("accuracy_snapped").fillna(table["score"]) / table.pop("bytes_per_token").fillna(1.0)
    return table.assign(score=score)


def case_scores(results: ResultSet, split: str) -> pd.DataFrame:
    """Columns task, variant, seed, score: the mean of :func:`condition_scores` over a run's conditions."""
    by = ["spec_hash", "task", "variant", "seed"]
    scores = condition_scores(results, split).groupby(by)["score"].mean()
    return scores.reset_index().drop(columns="spec_hash")


def family_scores(results: ResultSet, split: str, cases: Collection[str] = tuple(FAMILY)) -> pd.DataFrame:
    """Columns family, variant, seed, score: the mean over those of `cases` that are there, of each family."""
    rows = case_scores(results, split)
    rows = rows[rows["task"].isin(cases)]
    rows = rows.assign(family=rows["task"].map(FAMILY))
    return rows.groupby(["family", "variant", "seed"], sort=False)["score"].mean().reset_index()
