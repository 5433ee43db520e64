"""The families of tasks by name, and their scores out of a store: more is better. Needs no torch."""

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


def case_scores(results: ResultSet, split: str) -> pd.DataFrame:
    """Columns task, variant, seed, score: accuracy, or of text minus the bits a byte, its mean over conditions.

    Where rotors were snapped, the accuracy that they have then. A diverged run scores −inf.
    """
    rows = tuned(results).frame
    rows = rows[rows["split"] == split]

    def means(metric: str) -> pd.Series:
        found = rows[rows["metric"] == metric]
        found = found.assign(value=found["value"].fillna(float("-inf")))
        return found.groupby(["spec_hash", "task", "variant", "seed"])["value"].mean()

    scores = means("score")
    scores.update(means("accuracy_snapped"))
    scores = scores / means("bytes_per_token").reindex(scores.index).fillna(1.0)
    return scores.rename("score").reset_index().drop(columns="spec_hash")


def family_scores(results: ResultSet, split: str) -> pd.DataFrame:
    """Columns family, variant, seed, score: the mean over the cases of each family that is there."""
    rows = case_scores(results, split)
    rows = rows.assign(family=rows["task"].map(FAMILY))
    return rows.groupby(["family", "variant", "seed"], sort=False)["score"].mean().reset_index()
