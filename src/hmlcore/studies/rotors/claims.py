"""The claims of counting and of towers, and the rules that decide them, fixed before the measurement.

A run has solved its sums or words where at least .99 of the answers at the longest length are right. HML's
rotors are judged as they are after snapping, unless a rule says otherwise. Beside rivals, and of towers, a
modulus or group counts where some baseline reaches .9 at the longest length of training: otherwise it is "not
measured at this size".
"""

from typing import Any

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.results.statistics import paired_difference
from hmlcore.studies.kit.claim import (
    CONFIRMED,
    NEAR,
    REFUTED,
    UNDECIDED,
    Claim,
    Effect,
    Verdict,
    listed,
    times,
    trained_on,
)
from hmlcore.studies.kit.paired import LEVEL, holm, p_above

SOLVED = 0.99
ALIKE = ("delta", "gated DeltaNet")
"""Rivals that lack the rotors and nothing else."""
COUNTERS = ("gated DeltaProduct", "Mamba-2 + fast rotation")
"""Rivals whose memory can turn as well, and so count in principle."""
BASELINES = (*ALIKE, *COUNTERS, "GRU")
TOWER, FLAT = "rotors in 2 layers", "rotors in 1 layer"
BESIDE_TOWERS = ("delta in 2 layers", "gated DeltaProduct in 2 layers", "GRU in 1 layer")
TUNING = 0
"""The seed that tries every rate of `rotor_towers`; what is judged there are the others."""


def at(results: ResultSet, length: int | None = None, metric: str = "accuracy_snapped") -> pd.DataFrame:
    """Test accuracy at a length, the longest if None: columns task, variant, seed, value."""
    rows = results.metric(metric)
    return rows[rows["length"] == (rows["length"].max() if length is None else length)]


def rotors(results: ResultSet) -> str:
    """The variant that has rotors."""
    (name,) = set(at(results)["variant"]) - set(BASELINES)
    return name


def solved(results: ResultSet, variant: str, metric: str = "accuracy_snapped") -> dict[Any, float]:
    """Task → share of seeds that solve it."""
    rows = at(results, metric=metric)
    rows = rows[rows["variant"] == variant]
    return rows.assign(solved=rows["value"] >= SOLVED).groupby("task")["solved"].mean().to_dict()


def measured(results: ResultSet, baselines: tuple[str, ...] = BASELINES) -> list[str]:
    """Tasks that some baseline has learned at the longest length of training."""
    rows = at(results, max(trained_on(results, "length")))
    best = rows[rows["variant"].isin(baselines)].groupby(["task", "variant"])["value"].mean()
    best = best.groupby("task").max()
    return sorted(best[best >= 0.9].index)


def rotors_count(results: ResultSet) -> Verdict:
    """The share of seeds in which snapped rotors solve each modulus.

    Confirmed: nine of ten in every modulus. Refuted: less than half in three moduli or more.
    """
    shares = solved(results, rotors(results))
    evidence = "seeds that solve it: " + listed(shares, "{:.0%}")
    if all(share >= 0.9 for share in shares.values()):
        return CONFIRMED, evidence
    return (REFUTED if sum(share < 0.5 for share in shares.values()) >= 3 else UNDECIDED), evidence


def snapping_keeps_the_count(results: ResultSet) -> Verdict:
    """Accuracy at the longest length, snapped less as learned, mean over moduli, seed by seed.

    Confirmed: the mean is at least .02 and its interval above 0. Refuted: the mean is below .02.
    """
    name = rotors(results)
    by = [
        (rows[rows["variant"] == name]).groupby("seed")["value"].mean().to_dict()
        for rows in (at(results), at(results, metric="accuracy"))
    ]
    found = paired_difference(*by)
    low, high = found.estimate.low, found.estimate.high
    bounds = "" if low is None else f" ({low:+.3f} to {high:+.3f})"
    evidence = f"snapped − as learned: {found.estimate.mean:+.3f}{bounds}, {len(found.seeds)} seeds"
    if found.estimate.mean < NEAR:
        return REFUTED, evidence
    return (CONFIRMED if low is not None and low > 0 else UNDECIDED), evidence


def snapping_costs_nothing(results: ResultSet) -> Verdict:
    """Accuracy at the longest length of training, in each run: what snapping takes.

    Confirmed: no run loses more than .02. Refuted: more than one in ten does.
    """
    length, name = max(trained_on(results, "length")), rotors(results)
    keys = ["task", "seed"]
    snapped, learned = (
        rows[rows["variant"] == name].set_index(keys)["value"]
        for rows in (at(results, length), at(results, length, "accuracy"))
    )
    lost = learned - snapped
    share = float((lost > NEAR).mean())
    evidence = f"the most that a run loses: {lost.max():.3f}; {share:.0%} of {len(lost)} lose more than {NEAR}"
    return (CONFIRMED if share == 0 else REFUTED if share > 0.1 else UNDECIDED), evidence


def rotors_beat_the_delta_rule(results: ResultSet) -> Verdict:
    """Accuracy at the longest length, against the delta rule and matched gated DeltaNet, in measured moduli.

    Confirmed: above both in every one, by paired t-tests at .05 after Holm. Refuted: in none.
    """
    return _above(results, ALIKE)


def rotors_beat_other_counters(results: ResultSet) -> Verdict:
    """The same against memories that can turn as well: gated DeltaProduct, and Mamba-2 with its rotation."""
    return _above(results, COUNTERS)


def _above(results: ResultSet, rivals: tuple[str, ...]) -> Verdict:
    tasks, name = measured(results), rotors(results)
    if not tasks:
        return UNDECIDED, "not measured at this size: no baseline learns a modulus in training"
    rows = at(results)
    by = {key: part.set_index("seed")["value"].to_dict() for key, part in rows.groupby(["task", "variant"])}
    p = {(t, r): p_above(by[t, name], by[t, r]) for t in tasks for r in rivals}
    above = {key for key, value in holm(p).items() if value < LEVEL}
    gaps = {
        rival: sum(paired_difference(by[t, name], by[t, rival]).estimate.mean for t in tasks) / len(tasks)
        for rival in rivals
    }
    evidence = f"above in {len(above)} of {len(p)} comparisons; ahead, mean over moduli: "
    evidence += listed(gaps, "{:+.3f}")
    return (CONFIRMED if len(above) == len(p) else REFUTED if not above else UNDECIDED), evidence


def fresh(results: ResultSet) -> ResultSet:
    """Of towers: the seeds on which no rate was chosen."""
    return results.where(seed=sorted(set(results.frame["seed"]) - {TUNING}))


def two_layers_follow_where_one_does_not(results: ResultSet) -> Verdict:
    """The share of fresh seeds that solve S3 and D4 with snapped rotors, in two layers and in one.

    Confirmed: two layers in at least two seeds of three, in both groups, and one layer in no seed. Refuted: two
    layers in no seed of either group. Neither, where no baseline learns one of the groups in training.
    """
    judged = fresh(results)
    two, one = solved(judged, TOWER), solved(judged, FLAT)
    evidence = f"seeds that solve it: two layers {listed(two, '{:.0%}')}; one {listed(one, '{:.0%}')}"
    if lacking := sorted(set(two) - set(measured(judged, BESIDE_TOWERS))):
        said = f"not measured at this size: no baseline learns {' or '.join(lacking)} in training"
        return UNDECIDED, f"{said}; {evidence}"
    if not any(two.values()):
        return REFUTED, evidence
    follows = all(share >= 2 / 3 for share in two.values()) and not any(one.values())
    return (CONFIRMED if follows else UNDECIDED), evidence


_EFFECTS = (Effect("accuracy_snapped", NEAR), Effect("accuracy", NEAR))
CLAIMS = [
    Claim(
        lambda specs: "Snapped rotors follow sums modulo 2, 3, 5, 6 and 7 at "
        f"{times(specs, 'length')} their training, in nine seeds of ten",
        "rotor_counting", rotors_count, effects=_EFFECTS,
    ),
    Claim(
        lambda specs: "Trained up to twice as long and snapped by sums of sixteen times their training, rotors "
        f"follow sums modulo 2, 3, 5, 6 and 7 at {times(specs, 'length')} it, in nine seeds of ten",
        "rotor_counting_again", rotors_count, effects=_EFFECTS,
    ),
    Claim("Snapping keeps a count that drifts as it was learned", "rotor_counting", snapping_keeps_the_count,
          effects=_EFFECTS),
    Claim("Snapping costs nothing at the lengths of training", "rotor_counting", snapping_costs_nothing,
          effects=_EFFECTS),
    Claim("Rotors count where the delta rule with the same start and layout does not", "rotor_counting",
          rotors_beat_the_delta_rule, effects=_EFFECTS),
    Claim("Rotors count further than memories that can turn as well, DeltaProduct and Mamba-2 with rotation",
          "rotor_counting", rotors_beat_other_counters, effects=_EFFECTS),
    Claim(
        lambda specs: f"Two layers of rotors follow S3 and D4 at {times(specs, 'length')} their training, "
        "where one layer does not",
        "rotor_towers", two_layers_follow_where_one_does_not, effects=_EFFECTS,
    ),
]  # fmt: skip
