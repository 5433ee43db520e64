"""The claims of nonlinear potentials and the rules that decide them, fixed before the measurement.

Scores are accuracies at the chosen learning rates, means over seeds and over all test conditions of a task
unless a rule says otherwise. Two within .02 of one another count as equal, one that is more than .05 below is
worse.
"""

from typing import Any

from hmlcore.results import ResultSet
from hmlcore.results.statistics import paired_difference
from hmlcore.studies.kit.claim import CONFIRMED, FAR, NEAR, REFUTED, UNDECIDED, Claim, Verdict, listed

FIXED = ("quad", "sep", "mlp", "kick")
ADDRESSED = ("leapfrog", "oscillator")


def _scores(results: ResultSet) -> dict[Any, float]:
    return results.metric("accuracy").groupby("variant")["value"].mean().to_dict()


def addressed_wells_recall_more(results: ResultSet) -> Verdict:
    """The worse of the addressed dynamics against the best with fixed wells.

    Confirmed: ahead by more than .05. Refuted: not ahead. Undecided between.
    """
    scores = _scores(results)
    gap = min(scores[name] for name in ADDRESSED) - max(scores[name] for name in FIXED)
    evidence = "accuracy: " + listed(scores, "{:.3f}")
    return (CONFIRMED if gap > FAR else REFUTED if gap <= 0 else UNDECIDED), evidence


def learned_recalls_more(results: ResultSet) -> Verdict:
    """The learned potential minus quadratic wells, seed by seed.

    Confirmed: the mean is at least .02 and told from 0. Refuted: the mean is not above 0. Undecided between.
    """
    by = results.metric("accuracy").groupby(["variant", "seed"])["value"].mean()
    found = paired_difference(by["mlp"].to_dict(), by["quad"].to_dict())
    mean = found.estimate.mean
    each = ", ".join(f"{difference:+.3f}" for difference in found.differences)
    evidence = f"mlp − quad: {mean:+.3f} ({each} by seed)"
    if mean <= 0:
        return REFUTED, evidence
    return (CONFIRMED if mean >= NEAR and found.sign > 0 else UNDECIDED), evidence


def no_fixed_well_counts(results: ResultSet) -> Verdict:
    """Accuracy on sums modulo 3 at the longest length; chance is 1/3.

    Confirmed: every fixed well is below .5. Refuted: one reaches .9. Undecided between.
    """
    rows = results.metric("accuracy")
    rows = rows[rows["length"] == rows["length"].max()]
    scores = rows[rows["variant"].isin(FIXED)].groupby("variant")["value"].mean().to_dict()
    evidence = f"at {rows['length'].iloc[0]:,} symbols: " + listed(scores, "{:.3f}")
    best = max(scores.values())
    return (CONFIRMED if best < 0.5 else REFUTED if best >= 0.9 else UNDECIDED), evidence


CLAIMS = [
    Claim("Wells that tokens address recall more than any fixed ones", "potentials",
          addressed_wells_recall_more, {"task": "recall"}),
    Claim("A learned potential recalls more than quadratic wells", "potentials", learned_recalls_more,
          {"task": "recall", "variant": ["mlp", "quad"]}),
    Claim("No fixed well follows sums beyond its training", "potentials", no_fixed_well_counts,
          {"task": "sums modulo 3"}),
]  # fmt: skip
