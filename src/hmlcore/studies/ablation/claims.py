"""The claims of the ablations and the rules that decide them, fixed before the measurement."""

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import CONFIRMED, FAR, NEAR, REFUTED, UNDECIDED, Claim, Verdict


def chosen_damping(results: ResultSet) -> Verdict:
    """Accuracy, mean over tasks, of damping that tokens choose against none and a fixed one.

    Confirmed: ahead of both by more than .02. Refuted: one of them is ahead by more than .02.
    """
    rows = results.metric("accuracy").groupby("variant")["value"].mean()
    gaps = {name: rows["base"] - rows[name] for name in ("undamped", "fixed damping")}
    evidence = "chosen − other: " + ", ".join(f"{name} {gap:+.3f}" for name, gap in gaps.items())
    if all(gap > NEAR for gap in gaps.values()):
        return CONFIRMED, evidence
    return (REFUTED if any(gap < -NEAR for gap in gaps.values()) else UNDECIDED), evidence


def integrator_is_free(results: ResultSet) -> Verdict:
    """Accuracy, mean over tasks, with Euler and with injection into both, against the base.

    Confirmed: both within .02. Refuted: one is off by more than .05.
    """
    rows = results.metric("accuracy").groupby("variant")["value"].mean()
    gaps = {name: rows[name] - rows["base"] for name in ("Euler", "into both")}
    evidence = "against the base: " + ", ".join(f"{name} {gap:+.3f}" for name, gap in gaps.items())
    off = [abs(gap) for gap in gaps.values()]
    return (CONFIRMED if max(off) <= NEAR else REFUTED if max(off) > FAR else UNDECIDED), evidence


def penalty_does_not_help(results: ResultSet) -> Verdict:
    """Accuracy on copy with the better of the two penalties against none.

    Confirmed: at most .02 ahead. Refuted: more than .05 ahead.
    """
    scores = results.metric("accuracy").groupby("variant")["value"].mean()
    gaps = {name: value - scores["base"] for name, value in scores.items() if name.startswith("energy")}  # pyright: ignore[reportAttributeAccessIssue] # a text
    best = max(gaps.values())
    evidence = "against the base on copy: " + ", ".join(f"{name} {gap:+.3f}" for name, gap in gaps.items())
    return (CONFIRMED if best <= NEAR else REFUTED if best > FAR else UNDECIDED), evidence


CLAIMS = [
    Claim("Damping that tokens choose beats none and a fixed one", "synthetic_ablation", chosen_damping),
    Claim("The integrator and the place of injection make no difference", "synthetic_ablation",
          integrator_is_free),
    Claim("A penalty on the energy does not help", "synthetic_ablation", penalty_does_not_help,
          where={"task": "copy"}),
]  # fmt: skip
