"""The claims of the sparse memory, and the rules that decide them, fixed before the measurement."""

from typing import Any

import pandas as pd

from hmlcore.errors import require
from hmlcore.results import ResultSet
from hmlcore.results.statistics import MIN_SEEDS, paired_difference
from hmlcore.studies.kit.claim import (
    CONFIRMED,
    REFUTED,
    UNDECIDED,
    Claim,
    Effect,
    Verdict,
    all_or_none,
    listed,
)
from hmlcore.studies.kit.paired import LEVEL, holm, p_above
from hmlcore.studies.sparse.poisson import held_by_law, survival_by_law
from hmlcore.studies.sparse.rungs import RUNGS

WINDOW, EVERYTHING, LEARNED = "window alone", "everything written", "learned salience"
CENTROIDS = "everything written by centroids"
RIVALS = ("HML", "gated DeltaNet", "Memorizing Transformer", "RMT")
"""Other memories of bounded size, trained alike."""
HEADLINE = 0.12
TARGETS = {"rare": 0.9, "common": 0.85, "semantic": 0.99, "dictionary": 1.0}
ORACLE = "rare"
"""The gate that is told which ids are rare: no method, a bound."""
CLOSE = 0.03
ENOUGH = 0.05
FAST = 100_000.0
FLAT = 1.05


def asked(results: ResultSet, metric: str = "recall", **where) -> pd.DataFrame:
    """Test rows of a metric under conditions; none where it was not measured."""
    if metric not in set(results.frame["metric"]):
        return results.frame.iloc[:0]
    rows = results.metric(metric)
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return rows


def by_seed(rows: pd.DataFrame) -> dict[Any, float]:
    """Seed → mean."""
    return rows.groupby("seed")["value"].mean().to_dict()


def frontier(results: ResultSet, metric: str = "recall") -> pd.DataFrame:
    """Rows of the distance and load at which several densities were asked, of what learned with everything."""
    rows = asked(results, metric, variant=EVERYTHING)
    at = rows.groupby(["distance", "facts"])["density"].nunique().idxmax()
    return rows[(rows["distance"] == at[0]) & (rows["facts"] == at[1])]  # pyright: ignore[reportIndexIssue] # a pair


def a_gate_beats_random(results: ResultSet) -> Verdict:
    """Recall of all kinds together at the headline's density, where several densities were asked, seed by seed.

    Confirmed: some gate that is no oracle is above random writing, by paired t-tests at .05 after Holm over the
    gates. Refuted: none is. Neither with fewer than five seeds.
    """
    rows = frontier(results)
    rows = rows[rows["density"] == HEADLINE]
    gates = sorted(set(rows["gate"]) - {"random"})
    random = by_seed(rows[rows["gate"] == "random"])
    require(
        bool(random) and bool(gates), "recall must have rows of random writing and of another gate, got none"
    )
    p = {gate: p_above(by_seed(rows[rows["gate"] == gate]), random) for gate in gates if gate != ORACLE}
    gaps = {
        gate: paired_difference(by_seed(rows[rows["gate"] == gate]), random).estimate.mean for gate in gates
    }
    above = sorted(gate for gate, value in holm(p).items() if value < LEVEL)
    evidence = f"above random writing: {', '.join(above) or 'none'}; ahead: {listed(gaps, '{:+.3f}')}"
    return (CONFIRMED if above else REFUTED if len(random) >= MIN_SEEDS else UNDECIDED), evidence


def memory_reaches_beyond_the_window(results: ResultSet) -> Verdict:
    """Recall of rare and common facts at the nearest distance: everything written, less the window alone.

    Confirmed: at least .05 more, and the interval of the difference above 0; refuted: less than .05 more.
    """
    rows = asked(results)
    rows = rows[(rows["distance"] == rows["distance"].min()) & rows["kind"].isin(("rare", "common"))]
    with_memory = rows[(rows["variant"] == EVERYTHING) & (rows["gate"] == "every")]
    found = paired_difference(by_seed(with_memory), by_seed(rows[rows["variant"] == WINDOW]))
    mean, low = found.estimate.mean, found.estimate.low
    evidence = f"with its memory {mean:+.3f} over {len(found.seeds)} seeds"
    if mean < ENOUGH:
        return REFUTED, evidence
    return (CONFIRMED if low is not None and low > 0 else UNDECIDED), evidence


def the_answer_comes_from_the_memory(results: ResultSet) -> Verdict:
    """The mask test (V12): the same weights with the read taken away, at the nearest distance, all kinds.

    Confirmed: recall falls below a tenth of what it was; refuted: it keeps half.
    """
    rows = asked(results, variant=EVERYTHING)
    rows = rows[rows["distance"] == rows["distance"].min()]
    masked, whole = (float(rows[rows["gate"] == gate]["value"].mean()) for gate in ("masked", "every"))
    evidence = f"recall {whole:.3f}, with the memory masked {masked:.3f}"
    if whole < ENOUGH:
        return UNDECIDED, f"{evidence}; too little to lose"
    return (CONFIRMED if masked < whole / 10 else REFUTED if masked > whole / 2 else UNDECIDED), evidence


def better_than_rivals(results: ResultSet) -> Verdict:
    """Recall of all kinds at the nearest distance: everything written, less the best of the rivals, by seed.

    Confirmed: at least .05 more, and the interval of the difference above 0; refuted: at least .05 less.
    """
    rows = asked(results)
    rows = rows[rows["distance"] == rows["distance"].min()]
    others = {name: by_seed(rows[rows["variant"] == name]) for name in RIVALS}
    others = {name: seeds for name, seeds in others.items() if seeds}
    require(bool(others), "recall must have rows of a rival, got none")
    means = {name: sum(seeds.values()) / len(seeds) for name, seeds in others.items()}
    best = max(means, key=lambda name: means[name])
    own = by_seed(rows[(rows["variant"] == EVERYTHING) & (rows["gate"] == "every")])
    found = paired_difference(own, others[best])
    mean, low = found.estimate.mean, found.estimate.low
    evidence = f"{listed(means, '{:.3f}')}; slots {mean:+.3f} of {best} over {len(found.seeds)} seeds"
    if mean <= -ENOUGH:
        return REFUTED, evidence
    return (CONFIRMED if mean >= ENOUGH and low is not None and low > 0 else UNDECIDED), evidence


def targets_met(results: ResultSet) -> Verdict:
    """The source's targets at the longest distance, of the gate with the most recall there, no oracle.

    Confirmed: all four kinds reach theirs at a density below .15; refuted: none does.
    """
    rows = asked(results)
    rows = rows[(rows["distance"] == rows["distance"].max()) & (rows["density"] > 0) & (rows["density"] < 0.15)]
    rows = rows[~rows["gate"].isin((ORACLE,))]
    means = rows.groupby(["variant", "gate", "kind"])["value"].mean().unstack("kind")[list(TARGETS)]
    variant, gate = means.mean(axis=1).idxmax()
    best = means.loc[(variant, gate)]
    met = [bool(best[kind] >= target) for kind, target in TARGETS.items()]
    evidence = f"best of gates {gate} ({variant}): {listed(dict(best), '{:.3f}')}; {sum(met)} of {len(met)} met"
    return all_or_none(met), evidence


def _reached(results: ResultSet, kind: str, distance: float) -> Verdict:
    """Confirmed: the gate with the most recall of `kind` at `distance`, no oracle, at a density below .15,
    reaches the source's target; refuted otherwise."""
    rows = asked(results, kind=kind, distance=distance)
    rows = rows[(rows["density"] > 0) & (rows["density"] < 0.15) & (rows["gate"] != ORACLE)]
    require(len(rows) > 0, f"recall must have rows of {kind} facts at {distance:,.0f} tokens, got none")
    means = rows.groupby(["variant", "gate"])["value"].mean()
    best, target = float(means.max()), TARGETS[kind]
    variant, gate = means.idxmax()  # pyright: ignore[reportGeneralTypeIssues] # a pair
    evidence = f"best of gates {gate} of {variant}: {best:.3f}, target {target:g}"
    return (CONFIRMED if best >= target else REFUTED), evidence


def rare_at_a_hundred_thousand(results: ResultSet) -> Verdict:
    """V68.2. Confirmed: over 102,400 tokens the best gate finds .9 of rare facts, no oracle, at a density below
    .15; refuted otherwise."""
    return _reached(results, "rare", 102_400)


def common_at_the_longest(results: ResultSet) -> Verdict:
    """V68.3. Confirmed: over the longest distance the best gate finds .85 of common facts, no oracle, at a
    density below .15; refuted otherwise."""
    return _reached(results, "common", asked(results)["distance"].max())


def the_sources_metric_is_near_trivial(results: ResultSet) -> Verdict:
    """Random writing at the headline's density, where several densities were asked: rare and common facts.

    Confirmed: the metric that presents the answer says .9 or more, and honest recall is at most half of that.
    Refuted: honest recall is within a tenth of it.
    """
    honest, legacy = (
        float(rows[(rows["gate"] == "random") & (rows["density"] == HEADLINE)
                   & rows["kind"].isin(("rare", "common"))]["value"].mean())
        for rows in (frontier(results), frontier(results, "legacy"))
    )  # fmt: skip
    evidence = f"answer presented {legacy:.3f}, cue alone {honest:.3f}"
    if legacy >= 0.9 and honest <= legacy / 2:
        return CONFIRMED, evidence
    return (REFUTED if honest >= 0.9 * legacy else UNDECIDED), evidence


def _off(results: ResultSet, variant: str, metric: str, law) -> tuple[float, str]:
    rows = asked(results, metric, variant=variant)
    (spec,) = [s for s in results.specs() if s["variant"] == variant]
    gaps = [abs(row["value"] - law(row, spec)) for _, row in rows.iterrows()]
    return max(gaps), f"{variant}: at most {max(gaps):.3f} off in {len(gaps)} places"


def slots_follow_their_laws(results: ResultSet) -> Verdict:
    """Survival under random eviction and oldest first, and the cues that find a slot, against their laws.

    Confirmed: none is further off than .03 anywhere; refuted: each is somewhere.
    """

    def survival(row, spec) -> float:
        size = spec["density"], spec["buckets"], spec["ways"]
        return survival_by_law(row["delta"], *size, oldest=spec["variant"] == "oldest")

    found = [
        _off(results, "random", "survival", survival),
        _off(results, "oldest", "survival", survival),
        _off(results, "collisions", "held", lambda row, spec: held_by_law(row["load"], spec["ways"])),
    ]
    return all_or_none([gap <= CLOSE for gap, _ in found]), "; ".join(said for _, said in found)


def seconds(results: ResultSet) -> pd.DataFrame:
    """Length × variant → seconds a token."""
    return asked(results, "seconds_token").pivot_table(index="length", columns="variant", values="value")


def time_is_flat(results: ResultSet) -> Verdict:
    """Seconds a token at the longest length over the shortest, surprisal deciding.

    Confirmed: at most 1.1. Refuted: above 1.5.
    """
    times = seconds(results)["surprisal"].sort_index()
    ratio = float(times.iloc[-1] / times.iloc[0])
    evidence = f"{times.index[-1]:,.0f} tokens: {ratio:.2f} times the seconds a token of {times.index[0]:,.0f}"
    return (CONFIRMED if ratio <= 1.1 else REFUTED if ratio > 1.5 else UNDECIDED), evidence


def fast_enough(results: ResultSet) -> Verdict:
    """Tokens a second at the longest length, one stream, gates, logits and writes on, surprisal deciding.

    Confirmed: more than 100,000; refuted otherwise. The ratio to the window alone is said beside.
    """
    times = seconds(results).sort_index().iloc[-1]
    rate, ratio = 1 / times["surprisal"], times["window alone"] / times["surprisal"]
    evidence = f"{rate:,.0f} tokens a second, {ratio:.2f} of the window alone"
    return (CONFIRMED if rate > FAST else REFUTED), evidence


def memory_is_flat(results: ResultSet) -> Verdict:
    """What the process holds at the marks of a stream: the most over the least.

    Confirmed: at most 1.05, and the state as many bytes at every mark. Refuted: above 1.05.
    """
    held, state = (asked(results, metric)["value"] for metric in ("resident_bytes", "state_bytes_held"))
    ratio, longest = float(held.max() / held.min()), asked(results, "resident_bytes")["length"].max()
    evidence = (
        f"over {longest:,.0f} tokens at most {ratio:.3f} times the least; {state.nunique()} size of state"
    )
    if ratio > FLAT:
        return REFUTED, evidence
    return (CONFIRMED if state.nunique() == 1 else UNDECIDED), evidence


def later_versions_recall_more(results: ResultSet) -> Verdict:
    """Mean recall of all kinds: the last version of the ladder less the first slots (V23), seed by seed.

    Confirmed: the mean difference is at least .05 in all of the seeds; refuted: it is below .05.
    """
    rows = asked(results)
    last, first = (by_seed(rows[rows["variant"] == name]) for name in (RUNGS[-1].name, "V23"))
    found = paired_difference(last, first)
    evidence = f"{RUNGS[-1].name} − V23: {found.estimate.mean:+.3f}, {len(found.seeds)} seeds"
    if found.estimate.mean < ENOUGH:
        return REFUTED, evidence
    return (CONFIRMED if min(found.differences) >= ENOUGH else UNDECIDED), evidence


_EFFECTS = (Effect("recall", ENOUGH),)
_LAWS = (Effect("survival", CLOSE), Effect("held", CLOSE))
CLAIMS = [
    Claim("Some gate finds more again than random writing at the same density", "sparse_recall",
          a_gate_beats_random, effects=_EFFECTS),
    Claim("Some gate finds more again than random writing over half a million tokens", "sparse_far",
          a_gate_beats_random, effects=_EFFECTS),
    Claim("Slots beside a window answer what the window alone cannot", "sparse_recall",
          memory_reaches_beyond_the_window, effects=_EFFECTS),
    Claim("Answers come out of the memory: masked, the same weights lose them", "sparse_recall",
          the_answer_comes_from_the_memory, effects=_EFFECTS),
    Claim("Slots find more again than other memories of bounded size", "sparse_recall", better_than_rivals,
          effects=_EFFECTS),
    Claim("At the longest distance the targets of the source are met", "sparse_recall", targets_met,
          effects=_EFFECTS),
    Claim("Rare facts are found again over a hundred thousand tokens as the source has it", "sparse_recall",
          rare_at_a_hundred_thousand, effects=_EFFECTS),
    Claim("Common facts are found again over the longest distance as the source has it", "sparse_recall",
          common_at_the_longest, effects=_EFFECTS),
    Claim("A metric that presents the answer is near-trivial", "sparse_recall",
          the_sources_metric_is_near_trivial, effects=(*_EFFECTS, Effect("legacy", ENOUGH))),
    Claim("Slots last and cues collide by their laws", "sparse_laws", slots_follow_their_laws, effects=_LAWS),
    Claim("A token costs the same however long the stream is", "sparse_speed", time_is_flat),
    Claim("More than 100,000 tokens a second are read", "sparse_speed", fast_enough),
    Claim("A stream of half a million tokens is read in constant memory", "sparse_stream", memory_is_flat),
    Claim("The last version of the source's ladder finds more again than its first slots", "sparse_ladder",
          later_versions_recall_more, effects=_EFFECTS),
]  # fmt: skip
