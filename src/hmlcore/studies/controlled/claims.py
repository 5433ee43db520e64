"""The claims of the controlled tasks and the rules that decide them, fixed before the measurement.

Scores are means over seeds at the chosen learning rates. Two accuracies within .02 of one another count as
equal; one that is more than .05 below is worse; between, a claim is undecided.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import (
    CONFIRMED,
    REFUTED,
    UNDECIDED,
    Claim,
    Effect,
    Verdict,
    against,
    bounded,
    kept,
    means,
    times,
)


def _rows(results: ResultSet, task: str, longest: bool = True, metric: str = "accuracy") -> pd.DataFrame:
    """Test rows of a task, at its longest length or over all."""
    rows = results.metric(metric, task=task)
    return rows[rows["length"] == rows["length"].max()] if longest else rows


def overwrite_against_delta(results: ResultSet) -> Verdict:
    """Accuracy on overwrite, mean over its test conditions, against gated DeltaNet."""
    return against(means(_rows(results, "overwrite", longest=False)), ["gated_deltanet"])


def sums_beyond_training(results: ResultSet) -> Verdict:
    """HML's accuracy on sums modulo 2, 3 and 5 at the longest length.

    Confirmed: at least .9 on all. Refuted: below .5 on all. Undecided otherwise.
    """
    found = {}
    for task in ("parity", "sums modulo 3", "sums modulo 5"):
        found[task] = means(_rows(results, task))["hml"]
    evidence = "HML at the longest: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    if all(value >= 0.9 for value in found.values()):
        return CONFIRMED, evidence
    # Chance on parity is .5 itself.
    floor = {"parity": 0.6}
    return (REFUTED if all(v < floor.get(n, 0.5) for n, v in found.items()) else UNDECIDED), evidence


def nobody_follows_s3(results: ResultSet) -> Verdict:
    """The best accuracy on S3 at the longest length; chance is 1/6.

    Confirmed: every mean below .25. Refuted: one of at least .5.
    """
    scores = means(_rows(results, "S3"))
    best = max(scores, key=scores.get)  # pyright: ignore[reportCallIssue, reportArgumentType] # each is there
    evidence = f"the best at the longest: {best} {scores[best]:.3f}"
    return (CONFIRMED if scores[best] < 0.25 else REFUTED if scores[best] >= 0.5 else UNDECIDED), evidence


def _against_bounded(results: ResultSet, task: str, metric: str = "accuracy") -> Verdict:
    scores = means(_rows(results, task, longest=False, metric=metric))
    return against(scores, bounded(scores))


def recurrences(results: ResultSet) -> Verdict:
    """Accuracy on recurrences, mean over lengths, against the best other bounded memory."""
    return _against_bounded(results, "recurrence")


def addition(results: ResultSet) -> Verdict:
    """Accuracy of digits in addition by rows, mean over numbers of digits, against the best other bounded
    memory."""
    return _against_bounded(results, "addition")


def adding(results: ResultSet) -> Verdict:
    """Share of sums within .01, mean over lengths, against the best other bounded memory."""
    return _against_bounded(results, "adding", "within_one")


def delay_not_load(results: ResultSet) -> Verdict:
    """The share of whole messages that HML keeps from the longest trained delay to the longest tested one, at
    the payload that has both.

    Confirmed: at least .9. Refuted: less than half. Undecided between, or where HML copies less than half of
    the messages at the trained delay.
    """
    rows = results.metric("exact", task="copy", mixer="hml")
    rows = rows[rows["payload"] == rows[rows["delay"] == rows["delay"].max()]["payload"].iloc[0]]
    by = rows.groupby("delay")["value"].mean()
    near, far = by.iloc[0], by.iloc[-1]
    evidence = f"whole messages: {near:.3f} at delay {by.index[0]:,}, {far:.3f} at {by.index[-1]:,}"
    return kept(near, far, evidence, "too little is copied at the trained delay")


def _of(specs: Sequence[Mapping], task: str) -> list[Mapping]:
    return [spec for spec in specs if spec["task"] == task]


_SUMS = ("parity", "sums modulo 3", "sums modulo 5")
CLAIMS = [
    Claim("HML rewrites as well as gated DeltaNet", "synthetic_tasks", overwrite_against_delta,
          where={"task": "overwrite", "mixer": ["hml", "gated_deltanet"]}),
    Claim(
        lambda specs: "HML follows sums modulo 2, 3 and 5 "
        f"{times(_of(specs, 'sums modulo 3'), 'length')} beyond its training",
        "synthetic_tasks", sums_beyond_training, where={"task": _SUMS, "mixer": "hml"},
    ),
    Claim("Nobody follows S3 beyond the training", "synthetic_tasks", nobody_follows_s3, where={"task": "S3"}),
    Claim("HML predicts recurrences as well as any other bounded memory", "synthetic_tasks", recurrences,
          where={"task": "recurrence"}),
    Claim("HML adds numbers as well as any other bounded memory", "synthetic_tasks", addition,
          where={"task": "addition"}),
    Claim("HML adds marked reals to within .01 as often as any other bounded memory", "synthetic_tasks",
          adding, where={"task": "adding"}, effects=(Effect("within_one", 0.02),)),
    Claim(
        lambda specs: "What HML copies across the trained delay it copies across "
        f"{times(_of(specs, 'copy'), 'delay')} that",
        "synthetic_tasks", delay_not_load, where={"task": "copy", "mixer": "hml"},
        effects=(Effect("exact", 0.1),),
    ),
]  # fmt: skip
