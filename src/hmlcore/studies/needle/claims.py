"""The claims of the needle and the rules that decide them.

In letters they were fixed before the measurement; in prose the claims before, and their score after.
"""

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import Claim, Effect, Verdict, against, bounded, kept, means, times
from hmlcore.studies.needle import SCORE


def _grid(results: ResultSet) -> tuple[pd.DataFrame, str]:
    """Scores of the needle's grid, the rows with a depth, and the unit of its lengths."""
    metric, unit = SCORE[results.experiment]
    rows = results.metric(metric)
    return rows[rows["depth"].notna()], unit


def needle_at_the_longest(results: ResultSet) -> Verdict:
    """Score at the longest length, mean over depths, against the best other bounded memory."""
    rows, unit = _grid(results)
    longest = rows["length"].max()
    scores = means(rows[rows["length"] == longest])
    verdict, evidence = against(scores, bounded(scores))
    return verdict, f"at {longest:,} {unit}: {evidence}"


def needle_keeps(results: ResultSet) -> Verdict:
    """The share of the score at the shortest length, which was trained, that HML keeps at the longest.

    Confirmed: at least .9. Refuted: less than .5. Undecided between, or where it finds less than half at the
    shortest.
    """
    rows, unit = _grid(results)
    rows = rows[rows["mixer"] == "hml"]
    by = rows.groupby("length")["value"].mean()
    near, far = by.iloc[0], by.iloc[-1]
    evidence = f"{near:.3f} at {by.index[0]:,} {unit}, {far:.3f} at {by.index[-1]:,}"
    return kept(near, far, evidence, "too little is found at the shortest")


_WHOLE = (Effect("exact", 0.02),)
CLAIMS = [
    Claim("Far beyond its training HML finds a needle as well as any other bounded memory", "synthetic_needle",
          needle_at_the_longest),
    Claim(lambda specs: f"What HML finds at the trained length it finds {times(specs, 'length')} further on",
          "synthetic_needle", needle_keeps, where={"mixer": "hml"}),
    Claim("Far beyond its training HML finds a number in a book as well as any other bounded memory",
          "synthetic_needle_text", needle_at_the_longest, effects=_WHOLE),
    Claim(
        lambda specs: "What HML finds in a book at the trained length it finds "
        f"{times(specs, 'length')} further on",
        "synthetic_needle_text", needle_keeps, where={"mixer": "hml"}, effects=_WHOLE,
    ),
]  # fmt: skip
