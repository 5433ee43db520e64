"""The claims of the comparison: one a family, and what other dynamics and rotors bring HML.

Rules fixed before the runs.
"""

from collections.abc import Callable

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.studies.fair import GROWING, OPTIONS, OWN, RIVALS
from hmlcore.studies.fair.families import FAMILIES
from hmlcore.studies.fair.scoreboard import (
    BETTER,
    MARGIN,
    MARGIN_TEXT,
    NOT_MEASURED,
    NOT_WORSE,
    WORSE,
    scoreboard,
)
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED, Claim, Effect, Verdict

BOUNDED = tuple(row for row in RIVALS if row not in (*GROWING, *OPTIONS))


def _evidence(lines: pd.DataFrame, by: str) -> str:
    return "; ".join(
        f"{line[by]} {line['verdict']}" + ("" if pd.isna(line["effect"]) else f" ({line['effect']:+.3f})")
        for line in lines.to_dict("records")
    )


def not_worse_in(family: str) -> Callable[[ResultSet], Verdict]:
    """The rule of one family."""

    def rule(results: ResultSet) -> Verdict:
        """HML against every other bounded memory in the family, by the scoreboard's verdicts.

        Confirmed: better or not worse than each that is measured. Refuted: worse than one. Undecided where none
        is measured.
        """
        table = scoreboard(results)
        lines = table[(table["family"] == family) & table["rival"].isin(BOUNDED)]
        verdicts = set(lines["verdict"]) - {NOT_MEASURED}
        if not verdicts:
            return UNDECIDED, f"0 of {len(lines)} rivals: {NOT_MEASURED}"
        good = verdicts <= {BETTER, NOT_WORSE}
        return (CONFIRMED if good else REFUTED if WORSE in verdicts else UNDECIDED), _evidence(lines, "rival")

    rule.__name__ = f"not_worse_in_{family}"
    return rule


def option_pays(row: str) -> Callable[[ResultSet], Verdict]:
    """The rule of one row that is HML with an option."""

    def rule(results: ResultSet) -> Verdict:
        """HML with an option against HML, family by family, by the scoreboard's verdicts of HML.

        Confirmed: HML is worse in one family or more, and better in none. Refuted: it is worse in none, and
        better or not worse in one or more. Else undecided.
        """
        table = scoreboard(results)
        lines = table[table["rival"] == row]
        verdicts, evidence = list(lines["verdict"]), _evidence(lines, "family")
        if WORSE not in verdicts:
            decided = {BETTER, NOT_WORSE} & set(verdicts)
            return (REFUTED if decided else UNDECIDED), f"HML: {evidence}"
        return (CONFIRMED if BETTER not in verdicts else UNDECIDED), f"HML: {evidence}"

    rule.__name__ = f"{row.partition('(')[2].rstrip(')')}_pays"
    return rule


_EFFECTS = (Effect("accuracy", MARGIN), Effect("score", MARGIN), Effect("bits_per_token", MARGIN_TEXT, True))
_WORDS = {
    "copy": "copies a message through a silence",
    "recall": "recalls values by their keys",
    "needle": "finds a needle",
    "sums": "carries sums along",
    "expressions": "evaluates nested expressions",
    "books": "predicts the bytes of books",
}
CLAIMS = [
    Claim(f"{OWN} {_WORDS[family]} no worse than any other bounded memory compared", "fair",
          not_worse_in(family), effects=_EFFECTS)
    for family in FAMILIES
]  # fmt: skip
_GIVEN = {
    "HML (oscillator)": "An oscillator in place of the delta rule",
    "HML (rotors)": "A set of rotors",
    "HML (leapfrog)": "A momentum, with half the heads,",
}
CLAIMS += [
    Claim(f"{given} is worth something to HML and costs it nothing", "fair", option_pays(row), effects=_EFFECTS)
    for row, given in _GIVEN.items()
]
