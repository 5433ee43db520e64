"""The claims of the controlled tasks and the rules that decide them, fixed before the measurement. Needs no
torch.

Scores are means over seeds at the chosen learning rates. Two accuracies within .02 of one another count as
equal; one that is more than .05 below is worse; between, a claim is undecided.
"""

import math

import pandas as pd

from hmlcore.evaluation.ablation_claims import ABLATION_CLAIMS
from hmlcore.evaluation.statistics import paired_difference
from hmlcore.evaluation.verdicts import CONFIRMED, FAR, GROWING, NEAR, REFUTED, UNDECIDED, Claim
from hmlcore.results import ResultSet
from hmlcore.results.needle_score import NEEDLE_SCORE
from hmlcore.results.tuning import tuned


def _compared(gap: float) -> str:
    """The verdict on "at least as good" from own score − other's."""
    return CONFIRMED if gap >= -NEAR else REFUTED if gap < -FAR else UNDECIDED


def _against(means: dict[str, float], others: list[str]) -> tuple[str, str]:
    """HML against the best of `others`."""
    best = max(others, key=lambda mixer: means[mixer])
    gap = means["hml"] - means[best]
    return _compared(gap), f"HML {means['hml']:.3f}, {best} {means[best]:.3f}: {gap:+.3f}"


def _means(rows: pd.DataFrame) -> dict[str, float]:
    return rows.groupby("mixer")["value"].mean().to_dict()


def _grid(results: ResultSet) -> tuple[pd.DataFrame, str]:
    """Scores of the needle's grid, the rows with a depth, and the unit of its lengths."""
    metric, unit = NEEDLE_SCORE[results.experiment]
    rows = tuned(results).metric(metric)
    return rows[rows["depth"].notna()], unit


def needle_at_the_longest(results: ResultSet) -> tuple[str, str]:
    """Score at the longest length, mean over depths, against the best other bounded memory."""
    rows, unit = _grid(results)
    longest = rows["length"].max()
    means = _means(rows[rows["length"] == longest])
    verdict, evidence = _against(means, [m for m in means if m != "hml" and m not in GROWING])
    return verdict, f"at {longest:,} {unit}: {evidence}"


def needle_keeps(results: ResultSet) -> tuple[str, str]:
    """The share of the score at the shortest length, which was trained, that HML keeps at the longest.

    Confirmed: at least .9. Refuted: less than .5. Undecided between, or where it finds less than half at the
    shortest.
    """
    rows, unit = _grid(results)
    rows = rows[rows["mixer"] == "hml"]
    by = rows.groupby("length")["value"].mean()
    near, far = by.iloc[0], by.iloc[-1]
    evidence = f"{near:.3f} at {by.index[0]:,} {unit}, {far:.3f} at {by.index[-1]:,}"
    if near < 0.5:
        return UNDECIDED, f"{evidence}; too little is found at the shortest"
    return (CONFIRMED if far >= 0.9 * near else REFUTED if far < 0.5 * near else UNDECIDED), evidence


def recall_against_delta(results: ResultSet) -> tuple[str, str]:
    """HML minus gated DeltaNet, mean accuracy over widths and numbers of pairs, seed by seed.

    Confirmed: the mean is at least −.02. Refuted: below −.05, or the 95% interval (five seeds) lies below 0.
    """
    rows = tuned(results).metric("accuracy")
    seeds = rows.groupby(["mixer", "seed"])["value"].mean()
    found = paired_difference(seeds["hml"].to_dict(), seeds["gated_deltanet"].to_dict())
    mean, low, high, n = found.estimate
    interval = "" if low is None else f", 95 % interval {low:+.3f} to {high:+.3f}"
    evidence = f"HML − gated DeltaNet: {mean:+.3f} over {n} seeds{interval}"
    if high is not None and high < 0:
        return REFUTED, evidence
    return _compared(mean), evidence


def on_the_frontier(results: ResultSet) -> tuple[str, str]:
    """Whether at any width another bounded memory of at most HML's bytes recalls more, mean over pairs.

    Confirmed: none by more than .02. Refuted: one by more than .05 at every width.
    """
    rows = tuned(results).metric("accuracy")
    gaps = {}
    for width, part in rows.groupby("d_model"):
        means, size = _means(part), part.groupby("mixer")["state_bytes"].max()
        others = [m for m in means if m not in GROWING and m != "hml" and size[m] <= size["hml"]]
        best = max(others, key=lambda mixer: means[mixer])
        gaps[f"width {width}, {best}"] = means["hml"] - means[best]
    evidence = "HML − the best of no more bytes: " + ", ".join(f"{k} {v:+.3f}" for k, v in gaps.items())
    verdicts = {_compared(gap) for gap in gaps.values()}
    return (verdicts.pop() if len(verdicts) == 1 else UNDECIDED), evidence


def _task(results: ResultSet, task: str, longest: bool = True, metric: str = "accuracy") -> pd.DataFrame:
    """Test rows of a task, at its longest length or over all."""
    rows = tuned(results).metric(metric, task=task)
    return rows[rows["length"] == rows["length"].max()] if longest else rows


def overwrite_against_delta(results: ResultSet) -> tuple[str, str]:
    """Accuracy on overwrite, mean over its test conditions, against gated DeltaNet."""
    return _against(_means(_task(results, "overwrite", longest=False)), ["gated_deltanet"])


def sums_beyond_training(results: ResultSet) -> tuple[str, str]:
    """HML's accuracy on sums modulo 2, 3 and 5 at the longest length.

    Confirmed: at least .9 on all. Refuted: below .5 on all. Undecided otherwise.
    """
    found = {}
    for task in ("parity", "sums modulo 3", "sums modulo 5"):
        found[task] = _means(_task(results, task))["hml"]
    evidence = "HML at the longest: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items())
    if all(value >= 0.9 for value in found.values()):
        return CONFIRMED, evidence
    # Chance on parity is .5 itself.
    floor = {"parity": 0.6}
    return (REFUTED if all(v < floor.get(n, 0.5) for n, v in found.items()) else UNDECIDED), evidence


def nobody_follows_s3(results: ResultSet) -> tuple[str, str]:
    """The best accuracy on S3 at the longest length; chance is 1/6.

    Confirmed: every mean below .25. Refuted: one of at least .5.
    """
    means = _means(_task(results, "S3"))
    best = max(means, key=means.get)
    evidence = f"the best at the longest: {best} {means[best]:.3f}"
    return (CONFIRMED if means[best] < 0.25 else REFUTED if means[best] >= 0.5 else UNDECIDED), evidence


def _against_bounded(results: ResultSet, task: str, metric: str = "accuracy") -> tuple[str, str]:
    means = _means(_task(results, task, longest=False, metric=metric))
    return _against(means, [m for m in means if m != "hml" and m not in GROWING])


def recurrences(results: ResultSet) -> tuple[str, str]:
    """Accuracy on recurrences, mean over lengths, against the best other bounded memory."""
    return _against_bounded(results, "recurrence")


def addition(results: ResultSet) -> tuple[str, str]:
    """Accuracy of digits in addition by rows, mean over numbers of digits, against the best other bounded
    memory."""
    return _against_bounded(results, "addition")


def adding(results: ResultSet) -> tuple[str, str]:
    """Share of sums within .01, mean over lengths, against the best other bounded memory."""
    return _against_bounded(results, "adding", "within_one")


def delay_not_load(results: ResultSet) -> tuple[str, str]:
    """The share of whole messages that HML keeps from the longest trained delay to the longest tested one, at
    the payload that has both.

    Confirmed: at least .9. Refuted: less than half. Undecided between, or where HML copies less than half of
    the messages at the trained delay.
    """
    rows = tuned(results).metric("exact", task="copy", mixer="hml")
    rows = rows[rows["payload"] == rows[rows["delay"] == rows["delay"].max()]["payload"].iloc[0]]
    by = rows.groupby("delay")["value"].mean()
    near, far = by.iloc[0], by.iloc[-1]
    evidence = f"whole messages: {near:.3f} at delay {by.index[0]:,}, {far:.3f} at {by.index[-1]:,}"
    if near < 0.5:
        return UNDECIDED, f"{evidence}; too little is copied at the trained delay"
    return (CONFIRMED if far >= 0.9 * near else REFUTED if far < 0.5 * near else UNDECIDED), evidence


def _ratios(results: ResultSet, stage: str = "trained") -> dict[str, float]:
    """Contestant → g_early / g_late, geometric mean over seeds."""
    rows = results.metric("early_late", stage=stage)
    return {
        name: math.exp(sum(map(math.log, values)) / len(values))
        for name, values in rows.groupby("variant")["value"]
    }


def twice_the_gradient(results: ResultSet) -> tuple[str, str]:
    """g_early / g_late after training, HML over every baseline.

    Confirmed: at least 2 over each. Refuted: below 2 over some; those are named.
    """
    ratios = _ratios(results)
    others = {m: ratios["hml"] / ratios[m] for m in set(results.mixers) - {"hml"} if m in ratios}
    short = {m: r for m, r in others.items() if r < 2}
    evidence = f"g_early/g_late of HML {ratios['hml']:.2g}; over the others': " + ", ".join(
        f"{m} {r:.2g}" for m, r in sorted(others.items())
    )
    return (REFUTED if short else CONFIRMED), evidence


def undamped_is_flat(results: ResultSet) -> tuple[str, str]:
    """g_early / g_late of HML undamped, both dynamics, after training.

    Confirmed: within .01 to 100 for both. Refuted: for neither. Undecided for one of two.
    """
    ratios = {name: r for name, r in _ratios(results).items() if "undamped" in name}
    fine = [0.01 <= r <= 100 for r in ratios.values()]
    evidence = "g_early/g_late: " + ", ".join(f"{name} {r:.2g}" for name, r in ratios.items())
    lost = {v for v in _undamped(results)} - set(ratios)
    if lost:
        fine += [False] * len(lost)
        evidence += f"; not finite: {', '.join(sorted(lost))}"
    return (CONFIRMED if all(fine) else UNDECIDED if any(fine) else REFUTED), evidence


def _undamped(results: ResultSet) -> set[str]:
    return {name for name in results.frame["variant"].dropna() if "undamped" in name}


def flat_is_not_legible(results: ResultSet) -> tuple[str, str]:
    """Contestants whose gradient is flat, g_early / g_late within .01 to 100 after training, and whose symbol a
    linear probe cannot read at the longest lag: less than twice chance.

    Confirmed: there is one. Refuted: there are flat ones and all are legible. Undecided: none is flat.
    """
    flat = [name for name, r in _ratios(results).items() if 0.01 <= r <= 100]
    rows = results.metric("linear_probe")
    rows = rows[(rows["lag"] == rows["lag"].max()) & rows["variant"].isin(flat)]
    if rows.empty:
        return UNDECIDED, "no gradient that a probe can follow is flat"
    read, chance = rows.groupby("variant")["value"].mean(), rows["chance"].iloc[0]
    evidence = f"read at {rows['lag'].iloc[0]:,} (chance {chance:.3f}): " + ", ".join(
        f"{name} {value:.2f}" for name, value in read.items()
    )
    return (CONFIRMED if (read < 2 * chance).any() else REFUTED), evidence


SYNTHETIC_CLAIMS = [
    Claim("Far beyond its training HML finds a needle as well as any other bounded memory", "synthetic_needle",
          needle_at_the_longest),
    Claim("What HML finds at the trained length it finds 128 times further on", "synthetic_needle",
          needle_keeps),
    Claim("Far beyond its training HML finds a number in a book as well as any other bounded memory",
          "synthetic_needle_text", needle_at_the_longest),
    Claim("What HML finds in a book at the trained length it finds 85 times further on",
          "synthetic_needle_text", needle_keeps),
    Claim("HML recalls at least as much as gated DeltaNet, at equal bytes", "synthetic_recall",
          recall_against_delta),
    Claim("No bounded memory of at most HML's bytes recalls more", "synthetic_recall", on_the_frontier),
    Claim("HML rewrites as well as gated DeltaNet", "synthetic_tasks", overwrite_against_delta),
    Claim("HML follows sums modulo 2, 3 and 5 sixteen times beyond its training", "synthetic_tasks",
          sums_beyond_training),
    Claim("Nobody follows S3 beyond the training", "synthetic_tasks", nobody_follows_s3),
    Claim("HML predicts recurrences as well as any other bounded memory", "synthetic_tasks", recurrences),
    Claim("HML adds numbers as well as any other bounded memory", "synthetic_tasks", addition),
    Claim("HML adds marked reals to within .01 as often as any other bounded memory", "synthetic_tasks",
          adding),
    Claim("What HML copies across the trained delay it copies across a hundred times that", "synthetic_tasks",
          delay_not_load),
    Claim("At a lag of 16,384 HML's gradient is at least twice every baseline's, relative to its start",
          "synthetic_gradient", twice_the_gradient),
    Claim("Undamped, the gradient neither vanishes nor explodes", "synthetic_gradient", undamped_is_flat),
    Claim("A flat gradient is not yet a legible memory", "synthetic_gradient", flat_is_not_legible),
    *ABLATION_CLAIMS,
]  # fmt: skip
