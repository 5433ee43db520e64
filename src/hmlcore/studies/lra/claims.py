"""The claims of Long Range Arena and the rules that decide them, fixed before the measurement.

Of Text scores are accuracies on test reviews at the chosen learning rates, of causal models unless a rule says
otherwise, at the length of training: as many bytes of a review as validation was scored at. Two within .02 of
one another count as equal, one that is more than .05 below is worse. A difference between seeds has a sign
where its 95 % interval lies on one side of 0; with fewer than five seeds, where every seed has it.
"""

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.results.statistics import PairedDifference, paired_difference
from hmlcore.studies.kit.claim import (
    CONFIRMED,
    FAR,
    NEAR,
    REFUTED,
    UNDECIDED,
    Claim,
    Verdict,
    bounded,
    by_seed,
    means,
    trained_on,
)


def _listops(results: ResultSet, longer: bool, metric: str = "accuracy") -> pd.DataFrame:
    """Causal test rows at the trained lengths, or at longer ones; at the chosen learning rates."""
    rows = results.metric(metric, direction="causal")
    return rows[(rows["length"] > max(trained_on(results, "max_length"))) == longer]


def listops_with_the_best(results: ResultSet) -> Verdict:
    """Causal accuracy over the trained lengths, mean of seeds.

    Confirmed: HML is at most .02 below the best other mixer. Refuted: more than .05 below. Undecided between.
    """
    scores = means(_listops(results, longer=False))
    best = max((m for m in scores if m != "hml"), key=scores.get)  # pyright: ignore[reportCallIssue, reportArgumentType] # each is there
    gap = scores["hml"] - scores[best]
    evidence = f"HML {scores['hml']:.3f}, {best} {scores[best]:.3f}: {gap:+.3f} over the trained lengths"
    return (CONFIRMED if gap >= -0.02 else REFUTED if gap < -0.05 else UNDECIDED), evidence


def listops_beyond_training(results: ResultSet) -> Verdict:
    """Causal accuracy above the share of the most frequent answer, at each length beyond training.

    Confirmed: every seed of HML is at least .05 above it at every longer length. Refuted: HML's mean is less
    than .02 above it at some. Undecided between.
    """
    rows, floor = _listops(results, longer=True), _listops(results, longer=True, metric="majority")
    rows, floor = rows[rows["mixer"] == "hml"], floor.groupby("length")["value"].first()
    margin = rows["value"] - rows["length"].map(floor)
    gaps = margin.groupby(rows["length"]).mean()
    evidence = "HML above the most frequent answer: " + ", ".join(
        f"{value:+.3f} below {length} tokens" for length, value in gaps.items()
    )
    if (margin >= 0.05).all():
        return CONFIRMED, evidence
    return (REFUTED if (gaps < 0.02).any() else UNDECIDED), evidence


def trained_length(results: ResultSet) -> int:
    """Bytes of a review that the models were trained on: what validation is scored at."""
    return int(results.metric("accuracy", split="validation")["length"].max())


def _accuracy(results: ResultSet, direction: str, beyond: bool = False) -> pd.DataFrame:
    """Test accuracies at the length of training, or at it and all longer ones."""
    rows, trained = results.metric("accuracy", direction=direction), trained_length(results)
    return rows[rows["length"] >= trained] if beyond else rows[rows["length"] == trained]


def _words(found: PairedDifference) -> str:
    mean, low, high, n = found.estimate
    interval = "" if low is None else f", 95 % interval {low:+.3f} to {high:+.3f}"
    below = sum(difference < 0 for difference in found.differences)
    return f"{mean:+.3f}, below 0 in {below} of {n} seeds{interval}"


def text_with_bounded(results: ResultSet) -> Verdict:
    """HML minus the bounded memory with the best mean, seed by seed.

    Confirmed: the mean is at least −.02. Refuted: below −.05, or below −.02 and told from 0. Undecided between.
    """
    rows = _accuracy(results, "causal")
    scores = means(rows)
    best = max(bounded(scores), key=lambda mixer: scores[mixer])
    found = paired_difference(by_seed(rows, "hml"), by_seed(rows, best))
    evidence = f"HML {scores['hml']:.3f}, {best} {scores[best]:.3f}: {_words(found)}"
    gap = found.estimate.mean
    if gap >= -NEAR:
        return CONFIRMED, evidence
    return (REFUTED if gap < -FAR or found.sign < 0 else UNDECIDED), evidence


def both_ways_help(results: ResultSet) -> Verdict:
    """Bidirectional HML minus causal HML, seed by seed.

    Confirmed: the mean is at least .02 and told from 0. Refuted: the mean is not above 0. Undecided between.
    """
    both, causal = (by_seed(_accuracy(results, way), "hml") for way in ("bidirectional", "causal"))
    found = paired_difference(both, causal)
    evidence = f"both ways − causal: {_words(found)}"
    if found.estimate.mean <= 0:
        return REFUTED, evidence
    return (CONFIRMED if found.estimate.mean >= NEAR and found.sign > 0 else UNDECIDED), evidence


def nobody_loses_by_reading_on(results: ResultSet) -> Verdict:
    """The lowest mean accuracy at any longer part of a review minus that at the length of training, by mixer.

    Confirmed: no mixer falls by more than .02. Refuted: one falls by more than .05. Undecided between, or where
    nothing longer was read.
    """
    rows, trained = _accuracy(results, "causal", beyond=True), trained_length(results)
    scores = rows.pivot_table(index="mixer", columns="length", values="value")
    longer = scores.drop(columns=trained)
    if longer.empty:
        return UNDECIDED, f"nothing longer than the {trained:,} bytes of training was read"
    changes = longer.min(axis=1) - scores[trained]
    evidence = f"lowest change from {trained:,} to as many as {longer.columns.max():,} bytes: " + ", ".join(
        f"{mixer} {change:+.3f}" for mixer, change in changes.sort_values().items()
    )
    worst = changes.min()
    return (CONFIRMED if worst >= -NEAR else REFUTED if worst < -FAR else UNDECIDED), evidence


CLAIMS = [
    Claim("On ListOps HML answers as well as the best other mixer", "lra_listops", listops_with_the_best),
    Claim("On ListOps HML still follows expressions longer than any it was trained on", "lra_listops",
          listops_beyond_training, where={"mixer": "hml"}),
    Claim("On reviews, read byte by byte, causal HML answers as well as the best other bounded memory",
          "lra_text", text_with_bounded),
    Claim("Reading a review both ways helps HML", "lra_text", both_ways_help, where={"mixer": "hml"}),
    Claim("No causal model loses accuracy by reading more of a review than it was trained on", "lra_text",
          nobody_loses_by_reading_on, where={"direction": "causal"}),
]  # fmt: skip
