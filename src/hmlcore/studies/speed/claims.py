"""How fast the Hamiltonian op has to be, and against what: goals fixed before they were measured.

A goal is a bound on a ratio at every length (or context) of a range. Where the ratio is nearer to the bound
than the spreads of its two timings together, that length decides nothing. What was not measured, a GPU's goals
on a CPU for one, is undecided and has no evidence.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED, Claim, Effect, Verdict

OURS = "op:hml-p2"
FLAT = 1.1  # the slowest context over the fastest: what a few medians of one quantity may differ by

_NOTHING = (UNDECIDED, "")  # measured


@dataclass(frozen=True)
class Goal:
    """A sentence, the machine it is about ("CPU", "GPU" or "any"), and results → (verdict, evidence)."""

    statement: str
    where: str
    rule: Callable[[ResultSet], Verdict]

    def decide(self, results: ResultSet) -> Verdict:
        """The verdict and what it rests on, which is nothing where these are results of another machine."""
        on_cpu = set(results.frame["device"]) == {"cpu"}
        return self.rule(results) if self.where in ("any", "CPU" if on_cpu else "GPU") else _NOTHING


def ratios(results: ResultSet, metric: str, over: str, under: str) -> pd.DataFrame:
    """`metric` of `over` divided by that of `under` at each length both have: columns ratio and noise (the sum
    of both spreads, relative), by length; empty where there is no such length."""
    frame = results.frame
    frame = frame[(frame["metric"] == metric) & frame["mixer"].isin((over, under))]
    if set(frame["mixer"]) != {over, under}:
        return pd.DataFrame({"ratio": [], "noise": []}, dtype=float)
    frame = frame.assign(spread=frame["spread"].fillna(0.0))
    table = frame.pivot_table(index="length", columns="mixer", values=["value", "spread"]).dropna()
    ratio = table["value", over] / table["value", under]
    return pd.DataFrame({"ratio": ratio, "noise": table["spread"].sum(axis=1)})  # pyright: ignore[reportCallIssue, reportArgumentType] # over mixers


def _at_most(bound: float, table: pd.DataFrame, words: str) -> Verdict:
    """Confirmed: below the bound at every length. Refuted: above it at one. Both by more than the noise."""
    if table.empty:
        return _NOTHING
    excess = table["ratio"] / bound - 1
    clear = excess.abs() >= table["noise"]
    evidence = f"{words}: " + ", ".join(f"{r:.2f} at {int(at):,}" for at, r in table["ratio"].items())  # pyright: ignore[reportArgumentType] # lengths
    if (clear & (excess > 0)).any():
        return REFUTED, evidence
    return (CONFIRMED if clear.all() else UNDECIDED), evidence


def _times_faster(
    results: ResultSet, other: str, factor: float, least: int = 0, most: float = float("inf"), ours: str = OURS
) -> Verdict:
    table = ratios(results, "seconds_train", ours, other)
    table = table[(table.index >= least) & (table.index <= most)]
    inverse = ", ".join(f"{1 / r:.2f} at {int(at):,}" for at, r in table["ratio"].items())  # pyright: ignore[reportArgumentType] # lengths
    return _at_most(1 / factor, table, "")[0], f"times as fast: {inverse}" if inverse else ""


def twice_transformers(results: ResultSet) -> Verdict:
    """Two rows of N×N against one of N×2N, forward and backward, from 1,024 to 32,768 tokens: factor 2."""
    return _times_faster(results, "op:gdn-transformers", 2, 1024, 32_768)


def same_rule_twice_transformers(results: ResultSet) -> Verdict:
    """One row of N×2N against the same: both compute the same numbers. Otherwise as before."""
    return _times_faster(results, "op:gdn-transformers", 2, 1024, 32_768, ours="op:hml-p1-bytes")


def faster_than_attention(results: ResultSet) -> Verdict:
    """Against causal attention with keys and values of N channels, from 2,048 tokens on: factor 1."""
    return _times_faster(results, "op:sdpa", 1, 2048)


def second_row(results: ResultSet) -> Verdict:
    """Two rows of N×N against one, from 1,024 to 32,768 tokens: at most 1.5 times the time."""
    table = ratios(results, "seconds_train", OURS, "op:hml-p1")
    return _at_most(1.5, table[(table.index >= 1024) & (table.index <= 32_768)], "p = 2 over p = 1")


def faster_than_fla(results: ResultSet) -> Verdict:
    """Against flash-linear-attention's Gated DeltaNet, from 2,048 to 65,536 tokens: factor 1.2."""
    return _times_faster(results, "op:gdn-fla", 1.2, 2048, 65_536)


def faster_than_all(results: ResultSet) -> Verdict:
    """Against momentum, Mamba-2 and FlashAttention, each from 8,192 tokens on: factor 1. One that was not
    measured leaves the goal undecided."""
    others = {"momentum": "op:momentum-fla", "Mamba-2": "op:ssd-fla", "FlashAttention": "op:sdpa"}
    found = {label: _times_faster(results, name, 1, 8192) for label, name in others.items()}
    verdicts = [verdict for verdict, _ in found.values()]
    evidence = "; ".join(f"{label} {text}" for label, (_, text) in found.items() if text)
    if REFUTED in verdicts:
        return REFUTED, evidence
    return (CONFIRMED if set(verdicts) == {CONFIRMED} else UNDECIDED), evidence


def no_more_memory(results: ResultSet) -> Verdict:
    """Peak memory of a training pass over that of flash-linear-attention's Gated DeltaNet: at most 1."""
    return _at_most(1.0, ratios(results, "peak_memory_bytes", OURS, "op:gdn-fla"), "bytes over fla's")


def flat_decoding(results: ResultSet) -> Verdict:
    """Bytes and time of one decoded token after 1,000 others and more: two contexts at the least.

    Confirmed: bytes equal, the slowest context at most 1.1 times the fastest. Refuted: bytes differ, or times
    by more than that and more than their spreads explain.
    """
    frame = results.frame
    rows = frame[(frame["metric"] == "seconds_decode") & (frame["mixer"] == OURS) & (frame["length"] >= 1000)]
    rows = rows.groupby("length", as_index=False)[["value", "spread", "bytes_moved"]].mean()
    if len(rows) < 2:
        return _NOTHING
    evidence = "a token: " + ", ".join(
        f"{1e6 * row.value:.0f} µs and {row.bytes_moved:,.0f} bytes after {int(row.length):,}"  # pyright: ignore[reportOperatorIssue, reportArgumentType] # numbers
        for row in rows.itertuples()
    )
    slow, fast = rows.loc[rows["value"].idxmax()], rows.loc[rows["value"].idxmin()]  # pyright: ignore[reportCallIssue, reportArgumentType] # rows that are there
    ratio, noise = slow["value"] / fast["value"], slow["spread"] + fast["spread"]
    if rows["bytes_moved"].nunique() > 1:
        return REFUTED, evidence
    if ratio <= FLAT:
        return CONFIRMED, evidence
    return (REFUTED if ratio - 1 > noise else UNDECIDED), evidence


GOALS = [
    Goal("On a CPU the op (p = 2) trains twice as fast as transformers' gated delta rule, at equal state bytes",
         "CPU", twice_transformers),
    Goal("On a CPU the op computes that very rule (p = 1, the same numbers) twice as fast", "CPU",
         same_rule_twice_transformers),
    Goal("On a CPU the op trains faster than causal attention from 2,048 tokens on", "CPU",
         faster_than_attention),
    Goal("On a CPU the second row costs at most half again: p = 2 over p = 1", "CPU", second_row),
    Goal("On a GPU the op trains 1.2 times as fast as fla's gated delta rule, at equal state bytes", "GPU",
         faster_than_fla),
    Goal("On a GPU it trains faster than fla's momentum, fla's Mamba-2 and FlashAttention from 8,192 tokens on",
         "GPU", faster_than_all),
    Goal("On a GPU training takes at most the memory of fla's gated delta rule", "GPU", no_more_memory),
    Goal("A decoded token costs the same time and bytes after any number of others", "any", flat_decoding),
]  # fmt: skip


def overtakes_attention(results: ResultSet) -> Verdict:
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


_TIMES = (Effect("seconds_train", 0.1, relative=True),)
CLAIMS = [
    Claim("From some length on HML trains faster than attention on this machine", "speed", overtakes_attention,
          {"mixer": ["hml", "attention"]}, _TIMES),
    # A GPU's goals become claims of the book with the results of one.
    *(
        Claim(goal.statement, "op_speed", goal.decide, effects=_TIMES, called=goal.rule.__name__)
        for goal in GOALS
        if goal.where != "GPU"
    ),
]  # fmt: skip


def goal_table(results: ResultSet) -> pd.DataFrame:
    """One row a goal: where, goal, measured, verdict; the last two are empty where nothing was measured."""
    rows = []
    for goal in GOALS:
        verdict, evidence = goal.decide(results)
        row = {"where": goal.where, "goal": goal.statement, "measured": evidence}
        rows.append(row | {"verdict": verdict if evidence else ""})
    return pd.DataFrame(rows)
