"""The rule of the options applied: ranks by family, and whom they make the default. Needs no torch."""

from typing import Any

import pandas as pd

from hmlcore.errors import require
from hmlcore.results import ResultSet
from hmlcore.results.statistics import PairedDifference, paired_difference
from hmlcore.studies.kit.scores import FAMILIES, family_scores
from hmlcore.studies.options import CANDIDATES, MARGIN


def standings(results: ResultSet) -> pd.DataFrame:
    """Per candidate, the best first: its score in every family, and "mean rank".

    Raises: HmlcoreError naming the families that are not measured yet.
    """
    scores = family_scores(results, "validation")
    missing = [family for family in FAMILIES if family not in set(scores["family"])]
    require(not missing, f"results of {results.experiment!r} lack the families {', '.join(missing)}")
    means = scores.groupby(["variant", "family"])["score"].mean().unstack("family")[list(FAMILIES)]
    means = means.loc[[name for name in CANDIDATES if name in means.index]]
    ranks = means.rank(ascending=False, method="average").mean(axis=1)
    return means.assign(**{"mean rank": ranks}).sort_values("mean rank", kind="stable")


def default(table: pd.DataFrame) -> str:
    """Whom the rule makes the default, from :func:`standings`."""
    near = table[table["mean rank"] <= table["mean rank"].min() + MARGIN]
    return min(near.index, key=lambda name: (len(CANDIDATES[name]), near.loc[name, "mean rank"]))


def effects(results: ResultSet, of: str, over: str) -> dict[str, PairedDifference]:
    """Family → the difference in score, `of` less `over`, seed by seed."""
    scores = family_scores(results, "validation")
    for name in (of, over):
        there = set(scores.loc[scores["variant"] == name, "family"])
        require(there == set(FAMILIES), f"results of {results.experiment!r} lack families of {name!r}")
    by: dict[Any, dict[Any, float]] = {
        key: part.set_index("seed")["score"].to_dict() for key, part in scores.groupby(["family", "variant"])
    }
    return {family: paired_difference(by[family, of], by[family, over]) for family in FAMILIES}
