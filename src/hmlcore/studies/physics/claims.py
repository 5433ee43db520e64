"""Claims about the mechanics of the memory, each with its rule over the results of ``physics``."""

from collections.abc import Mapping, Sequence

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED, Claim, Effect, Verdict

ROUND_TRIP, WAY = 5e-3, 100_000
SAFE, LIMIT = 1.5, 2.0  # stable below SAFE·(1 − γ); the boundary of wide keys is LIMIT·(1 − γ)


def symplectic_is_not_bounded(results: ResultSet) -> Verdict:
    """The exponents of the undamped leapfrog, η from .05 to 2: half of what one constant key allows.

    Confirmed: each is above zero by three standard errors. Refuted: none is.
    """
    rows = results.metric("lyapunov", dynamics="leapfrog", gamma=1.0)
    rows = rows[rows["eta"].between(0.05, 2)].sort_values("eta")
    grows = rows["value"] > 3 * rows["stderr"]
    evidence = "growth of the undamped leapfrog a token: " + ", ".join(
        f"{row['value']:+.3f} at η = {row['eta']:.2g}" for row in _ends(rows)
    )
    return (CONFIRMED if grows.all() else REFUTED if not grows.any() else UNDECIDED), evidence


def oscillator_is_neutral(results: ResultSet) -> Verdict:
    """The exponents of the oscillator without friction (ρ = 1), at every angle.

    Confirmed: none is further from zero than 1e-9. Refuted: one is further than 1e-4.
    """
    rows = results.metric("lyapunov", dynamics="oscillator", rho=1.0)
    worst = rows["value"].abs().max()
    evidence = f"largest |exponent| of {len(rows)} angles: {worst:.1e}"
    return (CONFIRMED if worst <= 1e-9 else REFUTED if worst > 1e-4 else UNDECIDED), evidence


def boundary_at_three_halves(results: ResultSet) -> Verdict:
    """Where the leapfrog's exponent crosses zero, over 1 − γ, at the key width of the map.

    Confirmed: between 1.25 and 1.75 for every friction. Refuted: outside for every friction.
    """
    (width,) = results.metric("lyapunov", dynamics="leapfrog")["head_dim"].unique()
    ratios = _ratios(results).get(int(width), pd.Series(dtype=float))
    inside = ratios.between(SAFE - 0.25, SAFE + 0.25)
    evidence = f"η* / (1 − γ) with keys of width {width}: " + ", ".join(
        f"{ratio:.2f} at γ = {gamma:g}" for gamma, ratio in ratios.items()
    )
    if ratios.empty or ratios.isna().any():
        return UNDECIDED, evidence + "; no crossing was found for some friction"
    return (CONFIRMED if inside.all() else REFUTED if not inside.any() else UNDECIDED), evidence


def stable_below_three_halves(results: ResultSet) -> Verdict:
    """Every exponent of the leapfrog's map with γ < 1 and η ≤ 1.5(1 − γ).

    Confirmed: none is above zero. Refuted: one is, by three standard errors.
    """
    rows = results.metric("lyapunov", dynamics="leapfrog")
    rows = rows[(rows["gamma"] < 1) & (rows["eta"] <= SAFE * (1 - rows["gamma"]))]
    largest = rows.loc[rows["value"].idxmax()]
    evidence = (
        f"largest of {len(rows)} exponents {largest['value']:+.4f} (γ = {largest['gamma']:g}, "
        f"η = {largest['eta']:.2g})"
    )
    if (rows["value"] <= 0).all():
        return CONFIRMED, evidence
    return (REFUTED if (rows["value"] > 3 * rows["stderr"]).any() else UNDECIDED), evidence


def wide_keys_cross_at_two(results: ResultSet) -> Verdict:
    """The same ratio at the widest keys, where momentum should be a delta rule of strength η/(1 − γ).

    Confirmed: within 5% of 2 for every friction. Refuted: further than 15% for some.
    """
    ratios = _ratios(results)
    widest = max(ratios)
    gaps = (ratios[widest] / LIMIT - 1).abs()
    evidence = "η* / (1 − γ), mean and range over friction: " + ", ".join(
        f"{r.mean():.2f} ({r.min():.2f} to {r.max():.2f}) at N = {n}" for n, r in sorted(ratios.items())
    )
    if gaps.isna().any():
        return UNDECIDED, evidence + "; no crossing was found for some friction"
    return (CONFIRMED if (gaps <= 0.05).all() else REFUTED if (gaps > 0.15).any() else UNDECIDED), evidence


def a_long_way_back(results: ResultSet) -> Verdict:
    """The oscillator without friction, 100,000 tokens and back in single precision.

    Confirmed: the start returns within 5e-3 of its norm. Refuted: it does not. Undecided where fewer were run.
    """
    rows = results.metric("reversal_error", dynamics="oscillator", rho=1.0).set_index("tokens")["value"]
    error = rows[rows.index.max()]
    evidence = f"oscillator {error:.1e} after {rows.index.max():,} tokens and back; leapfrog " + ", ".join(
        f"{row['value']:.1e} after {row['tokens']:,}"
        for row in _ends(results.metric("reversal_error", dynamics="leapfrog", gamma=1.0).sort_values("tokens"))
    )
    if rows.index.max() < WAY:
        return UNDECIDED, evidence
    return (CONFIRMED if error <= ROUND_TRIP else REFUTED), evidence


def gradients_stay(results: ResultSet) -> Verdict:
    """The gradient of an output with respect to a value at the longest lag over that at the shortest.

    Confirmed: the oscillator's without friction keeps its length within 1%, and the leapfrog's changes more
    than tenfold with every friction. Refuted: the oscillator's changes more than twofold.
    """
    kept = {}
    for dynamics, gate in (("oscillator", "rho"), ("leapfrog", "gamma")):
        for value, rows in results.metric("gradient_by_lag", dynamics=dynamics).groupby(gate):
            rows = rows.sort_values("lag")["value"]
            kept[dynamics, value] = rows.iloc[-1] / rows.iloc[0]
    lags = results.metric("gradient_by_lag")["lag"]
    signs = {"rho": "ρ", "gamma": "γ"}
    evidence = f"gradient at lag {lags.max():,} over that at lag {lags.min()}: " + ", ".join(
        f"{dynamics} {signs['rho' if dynamics == 'oscillator' else 'gamma']} = {value:g} {ratio:.1e}"
        for (dynamics, value), ratio in kept.items()
    )
    free = kept["oscillator", 1.0]
    others = [ratio for (dynamics, _), ratio in kept.items() if dynamics == "leapfrog"]
    if not 0.5 <= free <= 2:
        return REFUTED, evidence
    flat, rest = abs(free - 1) <= 0.01, all(not 0.1 <= ratio <= 10 for ratio in others)
    return (CONFIRMED if flat and rest else UNDECIDED), evidence


def _ratios(results: ResultSet) -> dict[int, pd.Series]:
    """Key width → η*/(1 − γ) of the leapfrog by γ."""
    rows = results.metric("boundary", dynamics="leapfrog").sort_values("gamma")
    return {
        int(n): part.set_index("gamma")["value"] / (1 - part.set_index("gamma").index.to_series())  # pyright: ignore[reportArgumentType] # a width
        for n, part in rows.groupby("head_dim")
    }


def _ends(rows: pd.DataFrame) -> list[dict]:
    return rows.iloc[[0, -1]].to_dict("records")


def _way_back(specs: Sequence[Mapping]) -> str:
    way = max(max(spec["reversal"]) for spec in specs if "reversal" in spec)
    return f"The oscillator finds its way back over {way:,} tokens, in single precision within {ROUND_TRIP:g}"


_EXPONENT = (Effect("lyapunov", 1e-4),)
_BOUNDARY = (Effect("boundary", 0.05, relative=True),)
_LEAPFROG = {"dynamics": "leapfrog"}
CLAIMS = [
    Claim("Symplectic is not bounded: under changing keys the undamped leapfrog grows", "physics",
          symplectic_is_not_bounded, _LEAPFROG, _EXPONENT),
    Claim("The oscillator's exact flow neither grows nor fades", "physics", oscillator_is_neutral,
          {"dynamics": "oscillator"}, _EXPONENT),
    Claim("The boundary of stability under changing keys is η ≈ 1.5(1 − γ)", "physics",
          boundary_at_three_halves, _LEAPFROG, _BOUNDARY),
    Claim("Below η = 1.5(1 − γ) momentum is stable under changing keys", "physics", stable_below_three_halves,
          _LEAPFROG, _EXPONENT),
    Claim("For wide keys the boundary is η = 2(1 − γ): momentum is a delta rule of strength η/(1 − γ)",
          "physics", wide_keys_cross_at_two, _LEAPFROG, _BOUNDARY),
    Claim(_way_back, "physics", a_long_way_back, {"dynamics": ["oscillator", "leapfrog"]},
          (Effect("reversal_error", ROUND_TRIP),)),
    Claim("A value is felt equally at every lag by the oscillator, and not by the leapfrog", "physics",
          gradients_stay, {"dynamics": ["oscillator", "leapfrog"]},
          (Effect("gradient_by_lag", 0.01, relative=True),)),
]  # fmt: skip
"""The 1.5(1 − γ) is a rule of thumb from exploratory runs; the 2(1 − γ) was derived for wide keys, where a
kick's whole displacement, η/(1 − γ), is over before the same direction is addressed again."""
