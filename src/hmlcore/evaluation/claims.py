"""The claims of the experiments, each with the rule that decides it, fixed before the measurement.

A verdict is computed from the store and never typed: *confirmed*, *refuted*, or *undecided*. Needs no torch.
"""

import pandas as pd

from hmlcore.evaluation.bakeoff_claims import BAKEOFF_CLAIMS
from hmlcore.evaluation.lra_claims import LRA_CLAIMS
from hmlcore.evaluation.pg19_claims import PG19_CLAIMS
from hmlcore.evaluation.physics_claims import PHYSICS_CLAIMS
from hmlcore.evaluation.speed_claims import SPEED_CLAIMS
from hmlcore.evaluation.synthetic_claims import SYNTHETIC_CLAIMS
from hmlcore.evaluation.verdicts import CONFIRMED, REFUTED, UNDECIDED, Claim
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned


def _by_mixer(rows: pd.DataFrame) -> dict[str, float]:
    """Mean value per mixer (over seeds and whatever else varies)."""
    return rows.groupby("mixer")["value"].mean().to_dict()


def _trained(results: ResultSet, knob: str) -> list[int]:
    """The values of a task's knob that the runs were trained on."""
    return sorted({task[knob] for spec in results.specs() for task in spec["train"] if knob in task})


def load_not_lag(results: ResultSet) -> tuple[str, str]:
    """Trained payloads at the longest tested delay against the longest trained one.

    Confirmed: HML keeps at least 90% of its exact accuracy. Refuted: it keeps no larger share than the
    GRU. Undecided between, or where HML copies less than half of the messages at the trained delay.
    """
    results = tuned(results)
    payload, delay = _trained(results, "payload"), _trained(results, "delay")
    rows = results.metric("exact", payload=payload)
    near = _by_mixer(rows[rows["delay"] == max(d for d in rows["delay"] if d <= max(delay))])
    far = _by_mixer(rows[rows["delay"] == rows["delay"].max()])
    kept = {m: far[m] / near[m] if near[m] > 0 else 0.0 for m in near}
    evidence = (
        f"share of exact accuracy kept from delay {max(d for d in rows['delay'] if d <= max(delay))} to "
        f"{rows['delay'].max()}: " + _listed(kept, "{:.0%}")
    )
    if near["hml"] < 0.5:
        return UNDECIDED, evidence + f"; HML copies only {near['hml']:.0%} at the trained delay"
    if kept["hml"] >= 0.9:
        return CONFIRMED, evidence
    return (REFUTED if kept["hml"] <= kept["gru"] else UNDECIDED), evidence


def recall_at_fixed_state(results: ResultSet) -> tuple[str, str]:
    """Accuracy over the trained numbers of pairs, at the largest width.

    Confirmed: HML is within .05 of attention at every trained number of pairs. Refuted: it is below by more
    than .05 at all of them. Undecided: at some.
    """
    results = tuned(results)
    rows = results.metric("accuracy")
    rows = rows[(rows["d_model"] == rows["d_model"].max()) & rows["pairs"].isin(_trained(results, "pairs"))]
    gaps = {}
    for pairs, group in rows.groupby("pairs"):
        means = _by_mixer(group)
        gaps[f"{pairs} pairs"] = means["hml"] - means["attention"]
    evidence = "HML − attention: " + ", ".join(f"{name} {gap:+.2f}" for name, gap in gaps.items())
    within = [gap >= -0.05 for gap in gaps.values()]
    return (CONFIRMED if all(within) else UNDECIDED if any(within) else REFUTED), evidence


def text_within_two_percent(results: ResultSet) -> tuple[str, str]:
    """Bits per byte at the trained context, each corpus by itself.

    Confirmed: HML's mean is at most 1.02 times attention's on every corpus. Refuted: above on every one.
    """
    rows = tuned(results).metric("bits_per_byte")
    rows = rows[rows["context"] == max(_trained(results, "length"))]
    ratios = {}
    for corpus, group in rows.groupby("corpus"):
        means = _by_mixer(group)
        ratios[corpus] = means["hml"] / means["attention"]
    evidence = "HML / attention: " + _listed(ratios, "{:.3f}")
    within = [r <= 1.02 for r in ratios.values()]
    return (CONFIRMED if all(within) else UNDECIDED if any(within) else REFUTED), evidence


def text_beyond_context(results: ResultSet) -> tuple[str, str]:
    """Bits per byte at the longest tested context against the trained one, each corpus by itself.

    Confirmed: HML's does not rise on any corpus. Refuted: it rises on every one.
    """
    rows = tuned(results).metric("bits_per_byte")
    short, long = max(_trained(results, "length")), rows["context"].max()
    changes, fine = [], []
    for corpus, group in rows.groupby("corpus"):
        a, b = (_by_mixer(group[group["context"] == c]) for c in (short, long))
        fine.append(b["hml"] <= a["hml"])
        changes.append(f"{corpus}: " + _listed({m: b[m] - a[m] for m in a}, "{:+.3f}"))
    evidence = f"change from context {short} to {long}, bits per byte; " + "; ".join(changes)
    return (CONFIRMED if all(fine) else UNDECIDED if any(fine) else REFUTED), evidence


def _listops(results: ResultSet, longer: bool, metric: str = "accuracy") -> pd.DataFrame:
    """Causal test rows at the trained lengths, or at longer ones; at the chosen learning rates."""
    rows = tuned(results).metric(metric, direction="causal")
    return rows[(rows["length"] > max(_trained(results, "max_length"))) == longer]


def listops_with_the_best(results: ResultSet) -> tuple[str, str]:
    """Causal accuracy over the trained lengths, mean of seeds.

    Confirmed: HML is at most .02 below the best other mixer. Refuted: more than .05 below. Undecided between.
    """
    means = _by_mixer(_listops(results, longer=False))
    best = max((m for m in means if m != "hml"), key=means.get)
    gap = means["hml"] - means[best]
    evidence = f"HML {means['hml']:.3f}, {best} {means[best]:.3f}: {gap:+.3f} over the trained lengths"
    return (CONFIRMED if gap >= -0.02 else REFUTED if gap < -0.05 else UNDECIDED), evidence


def listops_beyond_training(results: ResultSet) -> tuple[str, str]:
    """Causal accuracy above the share of the most frequent answer, at each length beyond training.

    Confirmed: every seed of HML is at least .05 above it at every longer length. Refuted: HML's mean is less
    than .02 above it at some. Undecided between.
    """
    rows, floor = _listops(results, longer=True), _listops(results, longer=True, metric="majority")
    rows, floor = rows[rows["mixer"] == "hml"], floor.groupby("length")["value"].first()
    margin = rows["value"] - rows["length"].map(floor)
    means = margin.groupby(rows["length"]).mean()
    evidence = "HML above the most frequent answer: " + ", ".join(
        f"{value:+.3f} below {length} tokens" for length, value in means.items()
    )
    if (margin >= 0.05).all():
        return CONFIRMED, evidence
    return (REFUTED if (means < 0.02).any() else UNDECIDED), evidence


def overtakes_attention(results: ResultSet) -> tuple[str, str]:
    """Time of a training pass, HML over attention, at each length that both were timed at.

    Confirmed: below 1 at the longest. Refuted: above 1 there. Undecided where the two differ by less than
    their spreads.
    """
    rows = results.metric("seconds_train", mixer=["hml", "attention"])
    table = rows.pivot(index="length", columns="mixer", values=["value", "spread"]).dropna()
    ratio = table["value", "hml"] / table["value", "attention"]
    longest = ratio.index.max()
    evidence = "HML / attention: " + ", ".join(f"{r:.2f} at {length:,}" for length, r in ratio.items())
    if abs(ratio[longest] - 1) < table["spread"].loc[longest].sum():
        return UNDECIDED, evidence
    return (CONFIRMED if ratio[longest] < 1 else REFUTED), evidence


def _listed(values: dict[str, float], form: str) -> str:
    return ", ".join(f"{name} {form.format(value)}" for name, value in values.items())


CLAIMS = [
    Claim("What limits copying is the load, not the lag", "copy", load_not_lag),
    Claim("A fixed state recalls what attention's cache does, up to the trained load", "recall",
          recall_at_fixed_state),
    Claim("On text a bounded state costs at most 2% in bits per byte", "bytes", text_within_two_percent),
    Claim("On text HML does not get worse beyond its training context", "bytes", text_beyond_context),
    Claim("On ListOps HML answers as well as the best other mixer", "lra_listops", listops_with_the_best),
    Claim("On ListOps HML still follows expressions longer than any it was trained on", "lra_listops",
          listops_beyond_training),
    Claim("From some length on HML trains faster than attention on this machine", "speed",
          overtakes_attention),
    *BAKEOFF_CLAIMS,
    *PHYSICS_CLAIMS,
    *SPEED_CLAIMS,
    *SYNTHETIC_CLAIMS,
    *LRA_CLAIMS,
    *PG19_CLAIMS,
]  # fmt: skip


def claim_table(results: dict[str, ResultSet]) -> pd.DataFrame:
    """One row a claim whose experiment is among `results`: claim, evidence, verdict."""
    rows = []
    for claim in CLAIMS:
        if claim.experiment in results:
            verdict, evidence = claim.rule(results[claim.experiment])
            rows.append({"claim": claim.statement, "evidence": evidence, "verdict": verdict})
    return pd.DataFrame(rows)
