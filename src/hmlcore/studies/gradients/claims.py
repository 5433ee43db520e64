"""The claims of gradient stability and the rules that decide them, fixed before the measurement."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED, Claim, Effect, Verdict


def _ratios(results: ResultSet, stage: str = "trained") -> dict[Any, float]:
    """Contestant → g_early / g_late, geometric mean over seeds."""
    rows = results.metric("early_late", stage=stage)
    return {
        name: math.exp(sum(map(math.log, values)) / len(values))
        for name, values in rows.groupby("variant")["value"]
    }


def twice_the_gradient(results: ResultSet) -> Verdict:
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


def undamped_is_flat(results: ResultSet) -> Verdict:
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


def flat_is_not_legible(results: ResultSet) -> Verdict:
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


def _at_the_longest(specs: Sequence[Mapping]) -> str:
    lag = max(max(spec["examine"]["lags"]) for spec in specs)
    return f"At a lag of {lag:,} HML's gradient is at least twice every baseline's, relative to its start"


_RATIO = (Effect("early_late", 1.0, relative=True),)
CLAIMS = [
    Claim(_at_the_longest, "synthetic_gradient", twice_the_gradient, effects=_RATIO),
    Claim("Undamped, the gradient neither vanishes nor explodes", "synthetic_gradient", undamped_is_flat,
          effects=_RATIO),
    Claim("A flat gradient is not yet a legible memory", "synthetic_gradient", flat_is_not_legible,
          effects=(*_RATIO, Effect("linear_probe", 0.1))),
]  # fmt: skip
