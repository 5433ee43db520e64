"""The bake-off's standings and claims, by the rule that the study states."""

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED, Claim, Effect, Verdict

# How far apart two scores count as equal in the claims (not in the ranks): accuracy, and bits per byte
# relative to the other's.
NEAR, NEAR_TEXT = 0.02, 0.01


def seed_scores(results: ResultSet) -> pd.DataFrame:
    """Columns task, variant, seed, score: the mean over a task's test conditions, at the chosen rates.

    Accuracy, or minus the bits per byte of text: more is better everywhere. A diverged run scores −inf.
    """
    rows = tuned(results).frame
    rows = rows[(rows["split"] == "test") & rows["metric"].isin(["accuracy", "bits_per_byte"])]
    value = rows["value"].where(rows["metric"] == "accuracy", -rows["value"])
    grouped = rows.assign(score=value.fillna(float("-inf"))).groupby(["task", "variant", "seed"], sort=True)
    return grouped["score"].mean().reset_index()


def standings(results: ResultSet, seeds: list[int] | None = None) -> pd.DataFrame:
    """Per variant (index), the best first: the score on each task, columns ("score", task); the rank there,
    ("rank", task); the mean rank, ("mean rank", ""); and operations a token, ("flops", "").

    Args: seeds, those that count; all of them if None.
    """
    scores = seed_scores(results)
    scores = scores if seeds is None else scores[scores["seed"].isin(seeds)]
    table = scores.groupby(["variant", "task"])["score"].mean().unstack("task")
    ranks = table.rank(ascending=False, method="average")
    flops = results.frame.groupby("variant")["flops_per_token"].mean()
    parts = {"score": table, "rank": ranks, "mean rank": ranks.mean(axis=1).to_frame("")}
    joined = pd.concat({**parts, "flops": flops.reindex(table.index).to_frame("")}, axis=1)
    return joined.sort_values([("mean rank", ""), ("flops", "")])  # pyright: ignore[reportArgumentType] # two levels


def winner(results: ResultSet, seeds: list[int] | None = None) -> str:
    """The variant that the rule chooses."""
    return str(standings(results, seeds).index[0])


def behind(results: ResultSet, variant: str, other: str) -> dict[str, float]:
    """Task → how far `variant` is behind `other`: accuracy, or the share of bits per byte. Negative: ahead."""
    scores = standings(results)["score"]
    gaps = {}
    for task in scores:
        mine, theirs = scores.loc[variant, task], scores.loc[other, task]
        gaps[task] = (theirs - mine) / (abs(theirs) if task == "text" else 1)
    return gaps


def _is_near(task: str, gap: float) -> bool:
    return gap <= (NEAR_TEXT if task == "text" else NEAR)


def winner_matches_delta(results: ResultSet) -> Verdict:
    """The winner against gated DeltaNet, its special case ("delta"), task by task.

    Confirmed: on no task more than .02 of accuracy (1% of bits per byte) behind. Refuted: behind by more
    than that on three tasks or more.
    """
    best = winner(results)
    gaps = behind(results, best, "delta")
    far = [task for task, gap in gaps.items() if not _is_near(task, gap)]
    evidence = f"{best} − delta: " + _differences(gaps)
    return (CONFIRMED if not far else REFUTED if len(far) >= 3 else UNDECIDED), evidence


def momentum_pays(results: ResultSet) -> Verdict:
    """Leapfrog against its over-damped limit at equal bytes of memory.

    Confirmed: its mean rank is lower and it is ahead on three tasks or more. Refuted: its mean rank is
    higher and it is ahead on at most two. Undecided otherwise.
    """
    table = standings(results)["mean rank", ""]
    gaps = behind(results, "leapfrog", "delta")
    ahead = sum(gap < 0 for gap in gaps.values())
    evidence = (
        f"mean rank {table['leapfrog']:.1f} against {table['delta']:.1f}; "
        f"leapfrog − delta: {_differences(gaps)}"
    )
    better = table["leapfrog"] < table["delta"]
    if better and ahead >= 3:
        return CONFIRMED, evidence
    return (REFUTED if not better and ahead <= 2 else UNDECIDED), evidence


def rotation_counts(results: ResultSet) -> Verdict:
    """A quarter of rotating heads, added to delta.

    Confirmed: sums modulo 3 gain .2 of accuracy or more, and recall, overwrite and needle lose at most .05
    each. Refuted: the sums gain less than .05, or one of the others loses more than .2.
    """
    gaps = behind(results, "delta + rotation", "delta")
    gain = -gaps["modular sums"]
    losses = [gaps[task] for task in ("recall", "overwrite", "needle")]
    evidence = f"delta + rotation − delta: {_differences(gaps)}"
    if gain >= 0.2 and max(losses) <= 0.05:
        return CONFIRMED, evidence
    return (REFUTED if gain < 0.05 or max(losses) > 0.2 else UNDECIDED), evidence


def _differences(gaps: dict[str, float]) -> str:
    return ", ".join(
        f"{task} {100 * gap + 0:+.1f}% bits per byte" if task == "text" else f"{task} {0 - gap:+.3f}"
        for task, gap in gaps.items()
    )


_EFFECTS = (Effect("accuracy", NEAR), Effect("bits_per_byte", NEAR_TEXT, relative=True))
CLAIMS = [
    Claim("The dynamics that win the bake-off match gated DeltaNet on every task", "bakeoff",
          winner_matches_delta, effects=_EFFECTS),
    Claim("At equal bytes a position and a momentum beat the position alone", "bakeoff", momentum_pays,
          effects=_EFFECTS),
    Claim("A few rotating heads count, and cost the others nothing", "bakeoff", rotation_counts,
          effects=_EFFECTS),
]  # fmt: skip
