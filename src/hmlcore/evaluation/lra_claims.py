"""The claims of LRA Text and the rules that decide them, fixed before the measurement. Needs no torch.

Scores are accuracies on test reviews at the chosen learning rates, of causal models unless a rule says
otherwise, at the length of training: as many bytes of a review as validation was scored at. Two within .02 of
one another count as equal, one that is more than .05 below is worse. A difference between seeds has a sign
where its 95 % interval lies on one side of 0; with fewer than five seeds, where every seed has it.
"""

import pandas as pd

from hmlcore.evaluation.statistics import PairedDifference, paired_difference
from hmlcore.evaluation.verdicts import CONFIRMED, FAR, GROWING, NEAR, REFUTED, UNDECIDED, Claim
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned


def trained_length(results: ResultSet) -> int:
    """Bytes of a review that the models were trained on: what validation is scored at."""
    return int(results.metric("accuracy", split="validation")["length"].max())


def _accuracy(results: ResultSet, direction: str, beyond: bool = False) -> pd.DataFrame:
    """Test accuracies at the length of training, or at it and all longer ones."""
    rows, trained = tuned(results).metric("accuracy", direction=direction), trained_length(results)
    return rows[rows["length"] >= trained] if beyond else rows[rows["length"] == trained]


def _seeds(rows: pd.DataFrame, mixer: str) -> dict[int, float]:
    return rows[rows["mixer"] == mixer].set_index("seed")["value"].to_dict()


def _words(found: PairedDifference) -> str:
    mean, low, high, n = found.estimate
    interval = "" if low is None else f", 95 % interval {low:+.3f} to {high:+.3f}"
    below = sum(difference < 0 for difference in found.differences)
    return f"{mean:+.3f}, below 0 in {below} of {n} seeds{interval}"


def text_with_bounded(results: ResultSet) -> tuple[str, str]:
    """HML minus the bounded memory with the best mean, seed by seed.

    Confirmed: the mean is at least −.02. Refuted: below −.05, or below −.02 and told from 0. Undecided between.
    """
    rows = _accuracy(results, "causal")
    means = rows.groupby("mixer")["value"].mean()
    best = means.drop(["hml", *GROWING], errors="ignore").idxmax()
    found = paired_difference(_seeds(rows, "hml"), _seeds(rows, best))
    evidence = f"HML {means['hml']:.3f}, {best} {means[best]:.3f}: {_words(found)}"
    gap = found.estimate.mean
    if gap >= -NEAR:
        return CONFIRMED, evidence
    return (REFUTED if gap < -FAR or found.sign < 0 else UNDECIDED), evidence


def both_ways_help(results: ResultSet) -> tuple[str, str]:
    """Bidirectional HML minus causal HML, seed by seed.

    Confirmed: the mean is at least .02 and told from 0. Refuted: the mean is not above 0. Undecided between.
    """
    both, causal = (_seeds(_accuracy(results, way), "hml") for way in ("bidirectional", "causal"))
    found = paired_difference(both, causal)
    evidence = f"both ways − causal: {_words(found)}"
    if found.estimate.mean <= 0:
        return REFUTED, evidence
    return (CONFIRMED if found.estimate.mean >= NEAR and found.sign > 0 else UNDECIDED), evidence


def nobody_loses_by_reading_on(results: ResultSet) -> tuple[str, str]:
    """The lowest mean accuracy at any longer part of a review minus that at the length of training, by mixer.

    Confirmed: no mixer falls by more than .02. Refuted: one falls by more than .05. Undecided between, or where
    nothing longer was read.
    """
    rows, trained = _accuracy(results, "causal", beyond=True), trained_length(results)
    means = rows.pivot_table(index="mixer", columns="length", values="value")
    longer = means.drop(columns=trained)
    if longer.empty:
        return UNDECIDED, f"nothing longer than the {trained:,} bytes of training was read"
    changes = longer.min(axis=1) - means[trained]
    evidence = f"lowest change from {trained:,} to as many as {longer.columns.max():,} bytes: " + ", ".join(
        f"{mixer} {change:+.3f}" for mixer, change in changes.sort_values().items()
    )
    worst = changes.min()
    return (CONFIRMED if worst >= -NEAR else REFUTED if worst < -FAR else UNDECIDED), evidence


LRA_CLAIMS = [
    Claim("On reviews, read byte by byte, causal HML answers as well as the best other bounded memory",
          "lra_text", text_with_bounded),
    Claim("Reading a review both ways helps HML", "lra_text", both_ways_help),
    Claim("No causal model loses accuracy by reading more of a review than it was trained on", "lra_text",
          nobody_loses_by_reading_on),
]  # fmt: skip
