"""The ledger of the versions: what each was for, whether it was a gain, and when; all of it computed.

The source is a way of working: versions with a goal each, and a pivot where three in a row bring nothing. A
version is here a *gain* if it recalls at least .05 more than the best before it, *worse* if at least .05 less,
else *no gain*. What is no gain is a failure; the third failure in a row says *pivot* and begins the count anew.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.results.statistics import paired_difference
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.standing import WAITS
from hmlcore.studies.sparse.claims import ENOUGH, FAST, ORACLE, TARGETS, asked, by_seed, seconds
from hmlcore.studies.sparse.rungs import RUNGS, Rung

GAIN, NO_GAIN, WORSE, FIRST = "gain", "no gain", "worse", "the first"
IN_A_ROW = 3
DENSEST = 0.15
"""What the source allows of written tokens."""


class Entry(NamedTuple):
    """A version in the ledger: `verdict` is one of the words above, `outcome` what was measured, `date` of its
    last run, `trigger` what follows from it, "" if nothing does."""

    version: str
    phase: str
    goal: str
    verdict: str
    outcome: str
    date: str
    trigger: str


class Criterion(NamedTuple):
    """A criterion of success: whether it is met, None where it is not measured yet, and what was measured."""

    criterion: str
    met: bool | None
    measured: str


def entries(results: ResultSet | None) -> list[Entry]:
    """A line a version, in order. Args: results of `sparse_ladder`, None where there are none."""
    rows = None if results is None else tuned(results).frame
    found, best, failures = [], None, 0
    for rung in RUNGS:
        own = _recalled(rows, rung.name)
        if own is None or rows is None:
            found.append(Entry(*rung[:3], WAITS, "", "", ""))
            continue
        date = str(rows[rows["variant"] == rung.name]["started_at"].max())[:10]
        verdict, outcome = _judged(own, best)
        failures = failures + 1 if verdict in (NO_GAIN, WORSE) else 0
        trigger = "pivot" if failures == IN_A_ROW else ""
        failures %= IN_A_ROW
        if verdict in (GAIN, FIRST):
            best = rung, own
        found.append(Entry(*rung[:3], verdict, outcome, date, trigger))
    return found


def _recalled(rows: pd.DataFrame | None, variant: str) -> dict | None:
    """Seed → mean recall of all kinds, the test that masks the memory left out; None without runs."""
    if rows is None:
        return None
    own = rows[(rows["variant"] == variant) & (rows["metric"] == "recall") & (rows["gate"] != "masked")]
    return by_seed(own) if len(own) else None


def _judged(own: dict, best: tuple[Rung, dict] | None) -> tuple[str, str]:
    """The verdict, and the outcome in words."""
    mean = sum(own.values()) / len(own)
    if best is None:
        return FIRST, f"recall {mean:.3f}"
    gap = paired_difference(own, best[1]).estimate.mean
    verdict = GAIN if gap >= ENOUGH else WORSE if gap <= -ENOUGH else NO_GAIN
    return verdict, f"recall {mean:.3f}, {gap:+.3f} of {best[0].name}"


def criteria(recall: Sequence[ResultSet], speed: ResultSet | None) -> list[Criterion]:
    """The source's targets, ticked by computation; of gates the one that recalls most at the longest distance
    speaks, and no oracle.

    Args: recall, results of `sparse_recall` and `sparse_far`, those that there are; speed, of `sparse_speed`,
    None where there are none.
    """
    words = {kind: f"{kind} facts at the longest distance: {target:g}" for kind, target in TARGETS.items()}
    fast = f"more than {FAST:,.0f} tokens a second"
    sparse = f"less than {DENSEST:g} of tokens written"
    best = max((found for results in recall if (found := _best(results))), key=_mean, default=None)
    if best is None:
        found = [Criterion(text, None, "") for text in (*words.values(), sparse)]
    else:
        gate, means, density = best
        found = [Criterion(words[kind], bool(means[kind] >= target), f"{means[kind]:.3f} ({gate})")
                 for kind, target in TARGETS.items()]  # fmt: skip
        found.append(Criterion(sparse, density < DENSEST, f"{density:.3f} ({gate})"))
    if speed is None:
        return [*found, Criterion(fast, None, "")]
    rate = 1 / float(seconds(speed).sort_index().iloc[-1]["surprisal"])
    return [*found, Criterion(fast, rate > FAST, f"{rate:,.0f}")]


def _mean(best: tuple[str, pd.Series, float]) -> float:
    return float(best[1].mean())


def _best(results: ResultSet) -> tuple[str, pd.Series, float] | None:
    """The gate with the most recall at the longest distance, kind → recall, and its density as it was held."""
    seen = tuned(results)
    longest = asked(seen)["distance"].max()
    rows, gated = (asked(seen, metric, distance=longest) for metric in ("recall", "gated"))
    rows = rows[(rows["density"] > 0) & (rows["density"] < DENSEST) & (rows["gate"] != ORACLE)]
    if rows.empty:
        return None
    by = ["variant", "gate", "density"]
    means = rows.groupby([*by, "kind"])["value"].mean().unstack("kind")
    at: Any = means.mean(axis=1).idxmax()
    held = gated.groupby(by)["value"].mean()
    return f"{at[1]}, {at[0]}", means.loc[at], float(held[at])


def pivots(found: Sequence[Entry]) -> list[str]:
    """The versions at which the pivot rule fires."""
    return [entry.version for entry in found if entry.trigger]
