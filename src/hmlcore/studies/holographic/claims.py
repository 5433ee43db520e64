"""The claims of the holographic memory, and the rules that decide them, written before any run."""

import math
from typing import Any

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.results.statistics import paired_difference
from hmlcore.studies.holographic import LAYER
from hmlcore.studies.kit.claim import (
    CONFIRMED,
    FAR,
    NEAR,
    REFUTED,
    UNDECIDED,
    Claim,
    Effect,
    Verdict,
    listed,
)
from hmlcore.studies.kit.paired import LEVEL, holm, p_above

SLACK = 3.0
"""Standard errors that a measured share may lie from its law, beside :data:`NEAR`."""
CLAIMED = 10.5
"""How many times fewer operations than attention the source claims at 2,048 tokens."""
CLAIMED_AT = 2048
_PLACE = ["binding", "channels", "pairs", "slots", "stored", "keys"]


def beside_law(results: ResultSet) -> pd.DataFrame:
    """Measured accuracy, `value`, and `law`, by binding, channels, pairs, slots, stored and keys."""
    frames = [results.metric(metric)[[*_PLACE, "value", "n"]] for metric in ("accuracy", "law")]
    law = frames[1].drop(columns="n").rename(columns={"value": "law"})
    return frames[0].merge(law, on=_PLACE)


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Random keys drawn anew, a state as it is."""
    return rows[(rows["stored"] == "fp32") & (rows["keys"] == "random")]


def recall_follows_the_law(results: ResultSet) -> Verdict:
    """Accuracy of one slot against P(D, N, K), at every binding, D and N.

    Confirmed: within .02 and three standard errors in nineteen of twenty. Refuted: in less than four of five.
    """
    rows = plain(beside_law(results))
    rows = rows[rows["slots"] == 1]
    error = (rows["law"] * (1 - rows["law"]) / rows["n"]).pow(0.5)
    gap = (rows["value"] - rows["law"]).abs()
    share = float((gap <= NEAR + SLACK * error).mean())
    evidence = f"{share:.0%} of {len(rows)} superpositions; the most that one is off: {gap.max():.3f}"
    return (CONFIRMED if share >= 0.95 else REFUTED if share < 0.8 else UNDECIDED), evidence


def bindings_hold_the_same(results: ResultSet) -> Verdict:
    """Accuracy of the three bindings with one slot, at every D and N: the largest less the least.

    Confirmed: at most .02 and three standard errors of a difference everywhere. Refuted: above .05 and as many
    in a fifth or more.
    """
    rows = plain(beside_law(results))
    groups = rows[rows["slots"] == 1].groupby(["channels", "pairs"])
    spread = groups["value"].max() - groups["value"].min()
    error = (2 * groups["law"].mean() * (1 - groups["law"].mean()) / groups["n"].mean()).pow(0.5)
    evidence = f"the largest difference: {spread.max():.3f}; mean {spread.mean():.3f}"
    if (spread <= NEAR + SLACK * error).all():
        return CONFIRMED, evidence
    return (REFUTED if (spread > FAR + SLACK * error).mean() >= 0.2 else UNDECIDED), evidence


def slots_hold_no_more(results: ResultSet) -> Verdict:
    """Accuracy of several slots less that of one of as many bytes, means over D, N and bindings.

    Confirmed: no number of slots gains .02. Refuted: one gains more than .05.
    """
    rows = plain(beside_law(results)).pivot_table(
        index=["binding", "channels", "pairs"], columns="slots", values="value"
    )
    gains = {f"{slots:.0f} slots": float((rows[slots] - rows[1]).mean()) for slots in rows if slots != 1}
    best, evidence = max(gains.values()), "less one slot: " + listed(gains, "{:+.3f}")
    return (CONFIRMED if best < NEAR else REFUTED if best > FAR else UNDECIDED), evidence


def a_byte_a_number_is_enough(results: ResultSet) -> Verdict:
    """Accuracy of a state stored in int8 less that of the same state as it is, means over N, each binding.

    Confirmed: no binding loses .01. Refuted: one loses more than .02.
    """
    rows = beside_law(results)
    means = rows.groupby(["binding", "stored"])["value"].mean().unstack("stored")
    lost = (means["fp32, the same ones"] - means["int8"]).to_dict()
    evidence = "lost: " + listed(lost, "{:+.4f}")
    worst = max(lost.values())
    return (CONFIRMED if worst < 0.01 else REFUTED if worst > NEAR else UNDECIDED), evidence


def learned_keys_hold_more(results: ResultSet) -> Verdict:
    """Accuracy of keys learned for their number less that of random ones, where random ones are below .95.

    Confirmed: more than .02 at every N, each binding. Refuted: nowhere.
    """
    rows = beside_law(results)
    rows = rows[rows["keys"] != "random"].pivot_table(
        index=["binding", "pairs"], columns="keys", values="value"
    )
    rows = rows[rows["random, the same in all"] < 0.95]
    gain = rows["learned, the same in all"] - rows["random, the same in all"]
    evidence = "gained: " + listed({f"{b} of {n:.0f}": v for (b, n), v in gain.items()}, "{:+.3f}")  # pyright: ignore[reportGeneralTypeIssues] # of a pair of levels
    return (CONFIRMED if (gain > NEAR).all() else REFUTED if not (gain > NEAR).any() else UNDECIDED), evidence


def described_is_cheaper(results: ResultSet) -> Verdict:
    """Operations of a decoded token at the source's sizes: attention's over the described system's, at 2,048.

    Confirmed: at least the 10.5 times that are claimed. Refuted: below 1, where it costs more.
    """
    rows = results.metric("flops_source")
    by = rows.pivot_table(index="length", columns="mixer", values="value")
    at = by.loc[CLAIMED_AT] if CLAIMED_AT in by.index else by.iloc[-1]
    times = at["attention"] / at["holographic_legacy"]
    crossed = by.index[by["attention"] > by["holographic_legacy"]]
    first = f"from {crossed.min():,.0f} tokens on attention costs more" if len(crossed) else "never cheaper"
    evidence = f"attention over it: {times:.2f} at {by.index[by.index >= at.name][0]:,.0f} tokens; {first}"
    return (CONFIRMED if times >= CLAIMED else REFUTED if times < 1 else UNDECIDED), evidence  # pyright: ignore[reportGeneralTypeIssues] # a number


def decoding_overtakes_attention(results: ResultSet) -> Verdict:
    """Seconds of a decoded token, the layer against attention, at equal width, by length.

    Confirmed: less than attention's at the longest, and from some length on at every longer one. Refuted: more
    than attention's at the longest.
    """
    by = results.metric("seconds_decode").pivot_table(index="length", columns="mixer", values="value")
    faster = by[LAYER] < by["attention"]
    ratio = by["attention"].iloc[-1] / by[LAYER].iloc[-1]
    since = by.index[~faster.iloc[::-1].cummin().iloc[::-1]]
    first = by.index[by.index > (since.max() if len(since) else -math.inf)]
    text = f"from {first.min():,.0f} tokens on" if len(first) else "never"
    evidence = f"faster {text}; at {by.index[-1]:,.0f} attention takes {ratio:.2f} times as long"
    return (CONFIRMED if faster.iloc[-1] else REFUTED), evidence


def _by_seed(results: ResultSet, metric: str, **where) -> dict[Any, dict[Any, float]]:
    rows = results.metric(metric, split="test", **where)
    return {name: part.groupby("seed")["value"].mean().to_dict() for name, part in rows.groupby("variant")}


def _against(results: ResultSet, tasks: list[str], metric: str, margin: float) -> Verdict:
    """The layer against the best baseline of each task, non-inferior within a margin, by Holm over tasks."""
    p, gaps = {}, {}
    for task in tasks:
        by = _by_seed(results, metric, task=task)
        means = {name: sum(x.values()) / len(x) for name, x in by.items()}
        best = max((name for name in by if name != LAYER), key=means.get)  # pyright: ignore[reportCallIssue, reportArgumentType] # each is there
        scale = abs(means[best]) if metric != "accuracy" else 1.0
        p[task] = p_above(by[LAYER], by[best], -margin * scale)
        gaps[f"{task}, {best}"] = paired_difference(by[LAYER], by[best]).estimate.mean / scale
    evidence = "less the best of the others: " + listed(gaps, "{:+.3f}")
    within = {task for task, value in holm(p).items() if value < LEVEL}
    worse = [task for task, gap in zip(tasks, gaps.values(), strict=True) if gap < -FAR]
    return (CONFIRMED if len(within) == len(tasks) else REFUTED if worse else UNDECIDED), evidence


def it_recalls_as_well_as_any(results: ResultSet) -> Verdict:
    """Test accuracy on recall, copying and the needle against the best other memory of each, paired by seed.

    Confirmed: not .02 below in any, by t-tests at .05 after Holm. Refuted: more than .05 below in one.
    """
    return _against(results, ["recall", "copy", "needle"], "accuracy", NEAR)


def it_replaces_attention_on_text(results: ResultSet) -> Verdict:
    """Minus the bits a byte of books against the best other memory, paired by seed.

    Confirmed: not one percent below, by a t-test at .05. Refuted: more than five percent below.
    """
    return _against(results, ["bytes"], "score", 0.01)


def it_cannot_overwrite(results: ResultSet) -> Verdict:
    """Test accuracy on overwriting, the matched delta rule less the layer.

    Confirmed: more than .05, by a paired t-test at .05. Refuted: less than .02.
    """
    by = _by_seed(results, "accuracy", task="overwrite")
    gap = paired_difference(by["gated DeltaNet"], by[LAYER]).estimate.mean
    evidence = f"gated DeltaNet less the layer: {gap:+.3f}"
    sure = p_above(by["gated DeltaNet"], by[LAYER], FAR) < LEVEL
    return (CONFIRMED if sure else REFUTED if gap < NEAR else UNDECIDED), evidence


def parts(results: ResultSet, task: str) -> dict[Any, float]:
    """Variant → mean test accuracy on `task`."""
    rows = results.metric("accuracy", split="test", task=task)
    return rows.groupby("variant")["value"].mean().to_dict()


def _gap(results: ResultSet, first: str, second: str) -> dict[str, float]:
    by = {task: parts(results, task) for task in ("recall", "overwrite")}
    return {task: found[first] - found[second] for task, found in by.items()}


def convolution_learns_what_phases_learn(results: ResultSet) -> Verdict:
    """Mean test accuracy, convolution less phases, on recall and on overwriting.

    Confirmed: both within .05. Refuted: one beyond .1.
    """
    gaps = _gap(results, "convolution", "unitary")
    worst, evidence = max(map(abs, gaps.values())), "convolution less phases: " + listed(gaps, "{:+.3f}")
    return (CONFIRMED if worst <= FAR else REFUTED if worst > 2 * FAR else UNDECIDED), evidence


def redrawn_keys_carry_nothing(results: ResultSet) -> Verdict:
    """Mean test accuracy on recall, the described system with keys redrawn at every call against content keys.

    Confirmed: below half of what content keys reach, which is .5 at least. Refuted: within .05 of them.
    """
    found = parts(results, "recall")
    redrawn, own = found["as described and keys redrawn"], found["unitary"]
    evidence = f"redrawn {redrawn:.3f}, of positions {found['as described']:.3f}, of contents {own:.3f}"
    if own < 0.5:
        return UNDECIDED, f"{evidence}: content keys have not learned it either"
    return (CONFIRMED if redrawn < own / 2 else REFUTED if redrawn > own - FAR else UNDECIDED), evidence


def a_loss_at_random_lags_helps(results: ResultSet) -> Verdict:
    """Mean test accuracy on recall with a loss beside the task's at random lags, less none and less lag 0.

    Confirmed: .02 above both. Refuted: .02 below without one.
    """
    found = parts(results, "recall")
    gaps = {f"less {name}": found["loss at random lags"] - found[key]
            for name, key in (("none", "unitary"), ("lag 0", "loss at lag 0"))}  # fmt: skip
    evidence = "a loss at random lags: " + listed(gaps, "{:+.3f}")
    if all(gap >= NEAR for gap in gaps.values()):
        return CONFIRMED, evidence
    return (REFUTED if gaps["less none"] <= -NEAR else UNDECIDED), evidence


_ACCURACY = (Effect("accuracy", NEAR),)
_TIME = (Effect("seconds_decode", 0.1, relative=True),)
CLAIMS = [
    Claim("Superposed random pairs are recalled as the law says", "holographic_capacity",
          recall_follows_the_law, effects=_ACCURACY),
    Claim("Phases, signs and circular convolution hold the same", "holographic_capacity",
          bindings_hold_the_same, effects=_ACCURACY),
    Claim("Slots hold no more than one superposition of as many bytes", "holographic_capacity",
          slots_hold_no_more, effects=_ACCURACY),
    Claim("A byte a number is enough for a state that is read", "holographic_capacity",
          a_byte_a_number_is_enough, effects=(Effect("accuracy", 0.01),)),
    Claim("Keys that are learned for their number hold more than random ones", "holographic_capacity",
          learned_keys_hold_more, effects=_ACCURACY),
    Claim("The system as described needs a tenth of attention's operations at 2,048 tokens", "holographic_cost",
          described_is_cheaper, effects=(Effect("flops_source", 0.1, relative=True),)),
    Claim("Decoding with the layer overtakes attention at some length", "holographic_cost",
          decoding_overtakes_attention, effects=_TIME),
    Claim("Superposed bindings recall, copy and find as well as the best of others", "holographic_tasks",
          it_recalls_as_well_as_any, effects=_ACCURACY),
    Claim("Superposed bindings read books as well as the best of other memories", "holographic_tasks",
          it_replaces_attention_on_text, effects=(Effect("score", 0.01, relative=True),)),
    Claim("What only adds cannot overwrite", "holographic_tasks", it_cannot_overwrite, effects=_ACCURACY),
    Claim("Convolution and phases are learned alike", "holographic_ablation",
          convolution_learns_what_phases_learn, effects=_ACCURACY),
    Claim("Keys that are redrawn at every call carry nothing", "holographic_ablation",
          redrawn_keys_carry_nothing, effects=_ACCURACY),
    Claim("A loss at random lags helps recall, where one at lag 0 does not", "holographic_ablation",
          a_loss_at_random_lags_helps, effects=_ACCURACY),
]  # fmt: skip
