"""What counts: cases that some baseline can do at this size, rivals that do better than guessing. No torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hmlcore.errors import require
from hmlcore.results import ResultSet
from hmlcore.studies.fair import OWN, RIVALS, ROWS
from hmlcore.studies.fair.families import FAMILY
from hmlcore.studies.kit.scores import CONDITIONS, condition_scores, family_scores

REACHED = 0.9
ABOVE_CHANCE = 0.05
CHANCE = {
    "copy": 1 / 8, "needle": 1 / 4, "parity": 1 / 2, "sums modulo 5": 1 / 5, "expressions": 0.46,
}  # fmt: skip
"""What guessing among the answers that are in sight scores, of recall one in the number of its pairs; of
expressions, a guess from the outermost operator and the digits' frequencies, which balancing does not take
away."""


def is_own(row: str) -> bool:
    """Whether a row is one of HML's: a gate that only they pass is none."""
    return ROWS[row] == ROWS[OWN]


def scores_by_condition(results: ResultSet) -> pd.DataFrame:
    """:func:`~hmlcore.studies.kit.scores.condition_scores` of the test, and `within`: whether the condition is
    one of training."""
    table = condition_scores(results, "test")
    table = table[table["task"].isin(FAMILY)]
    trained = {run: spec["train"] for run, spec in zip(results.hashes, results.specs(), strict=True)}
    shown = [c for c in CONDITIONS if c in table]
    here = zip(table["spec_hash"], table[shown].to_dict("records"), strict=True)
    return table.assign(within=[any(_is(condition, task) for task in trained[run]) for run, condition in here])


def _is(condition: Mapping, task: Mapping) -> bool:
    """Whether a condition is that of a task as specs have it: they agree in whatever both say."""
    return all(task[k] == v for k, v in condition.items() if k in task and not pd.isna(v))


def reached(results: ResultSet) -> pd.DataFrame:
    """Per case (index): the best row that is not HML's, `best`; its mean at the longest condition within its
    training, `value`; what it has to reach, `needed`; and whether the case `counts`.

    Of text the value is minus the bits a byte, and what is needed minus the floor's.
    """
    scores, lines = scores_by_condition(results), {}
    scores = scores[scores["within"] & ~scores["variant"].map(is_own)]
    case: Any
    for case, rows in scores.groupby("task", sort=False):
        size = [c for c in ("payload", "delay", "pairs", "length") if c in rows and rows[c].notna().all()]
        if size:
            far = rows[size].apply(tuple, axis=1)
            rows = rows[far == max(far, key=lambda x: (x[-1], x))]
        means = rows.groupby("variant")["score"].mean()
        needed = -_floor(results, case) if FAMILY[case] == "books" else REACHED
        best, value = means.idxmax(), means.max()
        lines[case] = {"best": best, "value": value, "needed": needed, "counts": bool(value >= needed)}
    return pd.DataFrame.from_dict(lines, orient="index")


def _floor(results: ResultSet, case: str) -> float:
    return float(results.metric("ngram_bits_per_byte", split="test", task=case)["value"].mean())


def counting_scores(results: ResultSet) -> pd.DataFrame:
    """As :func:`~hmlcore.studies.kit.scores.family_scores`, over the cases that count; none of a family where
    none does."""
    gate = reached(results)
    return family_scores(results, "test", gate.index[gate["counts"]])


def at_chance(results: ResultSet) -> set[tuple[str, str]]:
    """(family, rival) of those that within the lengths of training do no better than guessing, over the cases
    that count; of books nobody guesses."""
    scores, gate = scores_by_condition(results), reached(results)
    scores = scores[scores["within"] & scores["task"].isin(gate.index[gate["counts"]])]
    scores = scores[scores["task"].map(FAMILY) != "books"]
    guess = [1 / x["pairs"] if x["task"] == "recall" else CHANCE[x["task"]] for x in scores.to_dict("records")]
    above = scores.assign(family=scores["task"].map(FAMILY), above=scores["score"] - np.array(guess, float))
    means = above.groupby(["family", "task", "variant"])["above"].mean().groupby(["family", "variant"]).mean()
    found: list[tuple[Any, float]] = [*means.items()]
    return {key for key, value in found if value <= ABOVE_CHANCE and key[1] in RIVALS}


def check_whole(results: ResultSet) -> None:
    """Raises: HmlcoreError naming the cases that no run has measured, a row and case without some seed that the
    row has elsewhere, or one with two runs of a seed: means over what happens to be there would shift."""
    runs = results.runs()
    runs = runs[runs["task"].isin(FAMILY)]
    lacking = [case for case in FAMILY if case not in set(runs["task"])]
    require(not lacking, f"results of {results.experiment!r} lack the cases {', '.join(lacking)}")
    for row, own in runs.groupby("variant"):
        for case in FAMILY:
            seeds = list(own.loc[own["task"] == case, "seed"])
            absent = sorted({*own["seed"]} - {*seeds})
            require(not absent, f"results of {results.experiment!r} lack {case} of {row}, seeds {absent}")
            twice = sorted(seed for seed in {*seeds} if seeds.count(seed) > 1)
            require(not twice, f"results of {results.experiment!r} have {case} of {row} twice, seeds {twice}")
