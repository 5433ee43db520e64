"""The claims of recall and the rules that decide them, fixed before the measurement."""

from hmlcore.results import ResultSet
from hmlcore.results.statistics import paired_difference
from hmlcore.studies.kit.claim import (
    REFUTED,
    UNDECIDED,
    Claim,
    Verdict,
    all_or_none,
    bounded,
    by_seed,
    compared,
    means,
    trained_on,
)


def recall_at_fixed_state(results: ResultSet) -> Verdict:
    """Accuracy over the trained numbers of pairs, at the largest width.

    Confirmed: HML is within .05 of attention at every trained number of pairs. Refuted: it is below by more
    than .05 at all of them. Undecided: at some.
    """
    rows = results.metric("accuracy")
    rows = rows[(rows["d_model"] == rows["d_model"].max()) & rows["pairs"].isin(trained_on(results, "pairs"))]
    gaps = {}
    for pairs, group in rows.groupby("pairs"):
        scores = means(group)
        gaps[f"{pairs} pairs"] = scores["hml"] - scores["attention"]
    evidence = "HML − attention: " + ", ".join(f"{name} {gap:+.2f}" for name, gap in gaps.items())
    within = [gap >= -0.05 for gap in gaps.values()]
    return all_or_none(within), evidence


def recall_against_delta(results: ResultSet) -> Verdict:
    """HML minus gated DeltaNet, mean accuracy over widths and numbers of pairs, seed by seed.

    Confirmed: the mean is at least −.02. Refuted: below −.05, or the 95% interval (five seeds) lies below 0.
    """
    rows = results.metric("accuracy")
    found = paired_difference(by_seed(rows, "hml"), by_seed(rows, "gated_deltanet"))
    mean, low, high, n = found.estimate
    interval = "" if low is None else f", 95 % interval {low:+.3f} to {high:+.3f}"
    evidence = f"HML − gated DeltaNet: {mean:+.3f} over {n} seeds{interval}"
    if high is not None and high < 0:
        return REFUTED, evidence
    return compared(mean), evidence


def on_the_frontier(results: ResultSet) -> Verdict:
    """Whether at any width another bounded memory of at most HML's bytes recalls more, mean over pairs.

    Confirmed: none by more than .02. Refuted: one by more than .05 at every width.
    """
    rows = results.metric("accuracy")
    gaps = {}
    for width, part in rows.groupby("d_model"):
        scores, size = means(part), part.groupby("mixer")["state_bytes"].max()
        others = [m for m in bounded(scores) if size[m] <= size["hml"]]
        best = max(others, key=lambda mixer: scores[mixer])
        gaps[f"width {width}, {best}"] = scores["hml"] - scores[best]
    evidence = "HML − the best of no more bytes: " + ", ".join(f"{k} {v:+.3f}" for k, v in gaps.items())
    verdicts = {compared(gap) for gap in gaps.values()}
    return (verdicts.pop() if len(verdicts) == 1 else UNDECIDED), evidence


CLAIMS = [
    Claim("A fixed state recalls what attention's cache does, up to the trained load", "recall",
          recall_at_fixed_state, where={"mixer": ["hml", "attention"]}),
    Claim("HML recalls at least as much as gated DeltaNet, at equal bytes", "synthetic_recall",
          recall_against_delta, where={"mixer": ["hml", "gated_deltanet"]}),
    Claim("No bounded memory of at most HML's bytes recalls more", "synthetic_recall", on_the_frontier),
]  # fmt: skip
