"""The scoreboard: families × rivals, each with an effect, its interval and a verdict by the rule. No torch."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.results.statistics import paired_difference
from hmlcore.studies.fair import OWN, RIVALS
from hmlcore.studies.fair.families import FAMILIES
from hmlcore.studies.fair.gate import at_chance, check_whole, counting_scores
from hmlcore.studies.kit.paired import LEVEL, holm, p_above

BETTER, NOT_WORSE, WORSE, OPEN = "better", "not worse", "worse", "undecided"
NOT_MEASURED = "not measured at this size"
MARGIN, MARGIN_TEXT = 0.02, 0.01
"""Of accuracy, and of the bits a byte."""


def scoreboard(results: ResultSet, own: str = OWN, rivals: tuple[str, ...] = RIVALS) -> pd.DataFrame:
    """One line per family and rival: family, rival, effect, low, high (95%, of the mean over paired seeds),
    seeds, verdict; where nothing was measured the numbers are NaN.

    Args: own, whose verdicts they are; rivals, whom it meets.
    Raises: HmlcoreError naming the cases that are not there yet.
    """
    check_whole(results)
    scores, guessing = counting_scores(results), at_chance(results)
    by = {key: part.set_index("seed")["score"] for key, part in scores.groupby(["family", "variant"])}
    pairs = {
        (family, rival): _relative(by[family, own], by[family, rival], family)
        for family in FAMILIES
        for rival in rivals
        if (family, rival) in by and (family, rival) not in guessing
    }
    verdicts = _verdicts(pairs)
    lines = []
    for family in FAMILIES:
        for rival in rivals:
            line = {"family": family, "rival": rival, "verdict": verdicts.get((family, rival), NOT_MEASURED)}
            if (family, rival) in pairs:
                found = paired_difference(*pairs[family, rival])
                mean, low, high, _ = found.estimate
                line |= {"effect": mean, "low": low, "high": high, "seeds": len(found.seeds)}
            lines.append(line)
    columns = ["family", "rival", "effect", "low", "high", "seeds", "verdict"]
    return pd.DataFrame(lines).reindex(columns=columns)


Pair = tuple[Mapping[int, float], Mapping[int, float]]


def _relative(own: pd.Series, rival: pd.Series, family: str) -> Pair:
    """Scores by seed; of books as shares of the rival's bits, so that a difference is the share saved."""
    if family == "books":
        own, rival = (own / rival.abs()).dropna(), rival / rival.abs()
    by_seed: list[dict[Any, float]] = [own.to_dict(), rival.to_dict()]
    return by_seed[0], by_seed[1]


def _verdicts(pairs: Mapping[tuple[str, str], Pair]) -> dict[tuple[str, str], str]:
    def sure(p: dict) -> set:
        return {key for key, value in holm(p).items() if value < LEVEL}

    above = sure({key: p_above(a, b) for key, (a, b) in pairs.items()})
    near = sure({key: p_above(a, b, -_margin(key[0])) for key, (a, b) in pairs.items()})
    below = sure({key: p_above(b, a) for key, (a, b) in pairs.items()})
    return {
        key: BETTER if key in above else NOT_WORSE if key in near else WORSE if key in below else OPEN
        for key in pairs
    }


def _margin(family: str) -> float:
    return MARGIN_TEXT if family == "books" else MARGIN
