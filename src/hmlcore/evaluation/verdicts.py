"""What a claim is: a sentence, the experiment that tests it, and the rule that decides it. Needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass

from hmlcore.results import ResultSet

CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "undecided"
NEAR, FAR = 0.02, 0.05
"""Accuracies this near count as equal; one that is further below than the second is worse."""

GROWING = ("attention", "hyena")
"""Mixers that keep everything: not bounded memories."""


@dataclass(frozen=True)
class Claim:
    """A statement, the experiment that tests it, and the rule: results → (verdict, evidence in words)."""

    statement: str
    experiment: str
    rule: Callable[[ResultSet], tuple[str, str]]
