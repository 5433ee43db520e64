"""The claims of the books (PG-19) and the rules that decide them, fixed before the measurement.

Scores are bits per byte of the test books at the chosen learning rates, of byte pairs and of models trained on
random windows unless a rule says otherwise. The training context is the one that validation was scored at, the
longest context reads all of a book's part with one state. Differences are paired: the same book, the same
seeds, the same tokens. A difference has a sign where its 95 % interval over books lies on one side of 0; with
fewer than five books, where every book has it. Within .5 % counts as equal.
"""

import pandas as pd

from hmlcore.results import ResultSet
from hmlcore.results.statistics import PairedDifference, paired_difference
from hmlcore.studies.kit.claim import (
    CONFIRMED,
    GROWING,
    REFUTED,
    UNDECIDED,
    Claim,
    Effect,
    Verdict,
    all_or_none,
)

ALL = "all"
"""The document that stands for all of them together."""
EQUAL = 0.005
"""Relative difference in bits per byte up to which two count as equal."""
AHEAD = 1024
"""Position in a book beyond which what a longer memory is worth is judged."""


def training_context(results: ResultSet, task: str = "bpe") -> int:
    """Tokens of a window in training: what validation is scored at."""
    return int(results.metric("bits_per_token", split="validation", task=task)["context"].max())


def _scores(results: ResultSet, mixer: str | None = None, variant: str = "windows") -> pd.DataFrame:
    """Test bits per byte of byte pairs, by context, document and seed."""
    rows = results.metric("bits_per_byte", task="bpe", variant=variant)
    return rows if mixer is None else rows[rows["mixer"] == mixer]


def _longest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["context"] == rows["context"].max()]


def by_book(first: pd.DataFrame, second: pd.DataFrame) -> PairedDifference:
    """First minus second, book by book, each the mean over the seeds that both have."""
    seeds = set(first["seed"]) & set(second["seed"])
    means = []
    for rows in (first, second):
        rows = rows[rows["seed"].isin(seeds) & (rows["document"] != ALL)]
        books = rows.groupby("document")["value"]
        means.append(books.agg(lambda values: values.mean(skipna=False)).to_dict())
    return paired_difference(*means)


def _lower(found: PairedDifference) -> str:
    """The verdict on "the first is below the second"."""
    return {-1: CONFIRMED, 0: UNDECIDED, 1: REFUTED}[found.sign]


def _words(found: PairedDifference) -> str:
    mean, low, high, n = found.estimate
    interval = "" if low is None else f", 95 % interval {low:+.4f} to {high:+.4f}"
    below = sum(difference < 0 for difference in found.differences)
    return f"{mean:+.4f} bits per byte, below 0 in {below} of {n} books{interval}"


def near_gated_deltanet(results: ResultSet) -> Verdict:
    """HML's bits per byte of all books over gated DeltaNet's at the longest context, seed by seed.

    Confirmed: at most 1.01 in every seed that both have. Refuted: above in every one. Undecided: above in
    some. What diverged is above what did not.
    """
    rows = _longest(_scores(results))
    values = rows[rows["document"] == ALL].set_index(["mixer", "seed"])["value"]
    mine, other = values["hml"], values["gated_deltanet"]
    seeds = sorted(set(mine.index) & set(other.index))
    evidence = "HML / gated DeltaNet: " + ", ".join(f"{mine[s] / other[s]:.4f} (seed {s})" for s in seeds)
    within = [mine[s] == mine[s] and not mine[s] > 1.01 * other[s] for s in seeds]
    return all_or_none(within), evidence


def below_window_attention(results: ResultSet) -> Verdict:
    """HML minus window attention at the longest context, book by book, in the seeds that both have.

    Confirmed: below. Refuted: above. Undecided: not told from 0, or the bytes of state are more than a quarter
    apart, so that the comparison is not the one that was meant: what is set equal is what the memory and the
    window hold, and the tokens that short convolutions and rotations keep come on top, for each its own.
    """
    rows = _longest(_scores(results))
    mine, other = (rows[rows["mixer"] == mixer] for mixer in ("hml", "window_attention"))
    found, sizes = by_book(mine, other), [int(rows["state_bytes"].max()) for rows in (mine, other)]
    evidence = f"HML − window attention: {_words(found)}; state {sizes[0]:,} and {sizes[1]:,} bytes"
    if max(sizes) > 1.25 * min(sizes):
        return UNDECIDED, f"{evidence}: not equal"
    return _lower(found), evidence


def _beyond(results: ResultSet, mixer: str) -> tuple[float, int]:
    """How a mixer's longest context compares with its training context, mean over books: the relative change,
    and its sign where that is told from 0. A loss that is no longer a number is worse."""
    rows = _scores(results, mixer)
    short, long = rows[rows["context"] == training_context(results)], _longest(rows)
    found = by_book(long, short)
    before = short.loc[short["document"] != ALL, "value"].mean()
    change = found.estimate.mean / before
    return (float("inf"), 1) if change != change and before == before else (change, found.sign)


def bounded_beyond_training(results: ResultSet) -> Verdict:
    """The longest context against the training context, each bounded memory by itself.

    Confirmed: none is worse by more than .5 %. Refuted: one is, and its change is told from 0. Undecided: one
    is and it is not told, or one was not read at the longest context.
    """
    rows = _scores(results)
    rows = rows[~rows["mixer"].isin(GROWING)]
    longest = rows.groupby("mixer")["context"].max()
    short = sorted(longest.index[longest < longest.max()])
    changes = {mixer: _beyond(results, mixer) for mixer in longest.index if mixer not in short}
    evidence = f"change from {training_context(results):,} to {longest.max():,} tokens: " + ", ".join(
        f"{mixer} {change:+.2%}" for mixer, (change, _) in changes.items()
    )
    worse = [sign for change, sign in changes.values() if change > EQUAL]
    if 1 in worse:
        return REFUTED, evidence
    if short:
        return UNDECIDED, f"{evidence}; not read that far: {', '.join(short)}"
    return (UNDECIDED if worse else CONFIRMED), evidence


def attention_beyond_training(results: ResultSet) -> Verdict:
    """Attention at the longest context that it was read at against its training context.

    Confirmed: worse by more than .5 %, and told from 0. Refuted: not worse by more than .5 %. Undecided: worse
    and not told.
    """
    change, sign = _beyond(results, "attention")
    longest = _scores(results, "attention")["context"].max()
    evidence = f"change from {training_context(results):,} to {longest:,} tokens: attention {change:+.2%}"
    if change > EQUAL:
        return (CONFIRMED if sign > 0 else UNDECIDED), evidence
    return REFUTED, evidence


def carried_state_helps(results: ResultSet) -> Verdict:
    """HML trained with its state carried through each book minus HML trained on random windows, at the longest
    context, book by book, in the seeds that both have.

    Confirmed: below. Refuted: above. Undecided: not told from 0.
    """
    carried, windows = (_longest(_scores(results, "hml", variant)) for variant in ("carried", "windows"))
    found = by_book(carried, windows)
    return _lower(found), f"carried − windows: {_words(found)}"


def longer_memory_helps(results: ResultSet) -> Verdict:
    """HML's loss on the same tokens with all the text before them minus that within its training context: bins
    from position 1,024 of a book on, averaged by their tokens, book by book, mean over seeds.

    Confirmed: below. Refuted: above. Undecided: not told from 0, or no book is that long.
    """
    rows = results.metric("bits_per_byte_at", task="bpe", variant="windows", mixer="hml")
    rows = rows[(rows["position"] >= AHEAD) & (rows["document"] != ALL)]
    if rows.empty:
        return UNDECIDED, f"no book goes beyond position {AHEAD:,}"
    # Bins of unequal n hold other tokens: they are not compared.
    at = ["seed", "document", "position", "n"]
    short = rows[rows["context"] == training_context(results)]
    both = _longest(rows).merge(short, on=at, suffixes=("", "_short"))
    if both.empty:
        return UNDECIDED, "the two contexts have no tokens in common"
    parts = []
    for column in ("value", "value_short"):
        bits = (both[column] * both["n"]).groupby([both["document"], both["seed"]]).sum(min_count=1)
        means = bits / both.groupby(["document", "seed"])["n"].sum()
        parts.append(means.rename("value").reset_index())
    found = by_book(*parts)
    return _lower(found), f"all text before − {training_context(results):,} tokens: {_words(found)}"


_BITS = (Effect("bits_per_byte", EQUAL, relative=True), Effect("bits_per_byte_at", EQUAL, relative=True))
CLAIMS = [
    Claim("On books HML's bits per byte are at most 1% above gated DeltaNet's", "pg19", near_gated_deltanet,
          where={"mixer": ["hml", "gated_deltanet"]}, effects=_BITS),
    Claim("On books HML predicts better than a window of attention of the same bytes", "pg19",
          below_window_attention, where={"mixer": ["hml", "window_attention"]}, effects=_BITS),
    Claim("No bounded memory predicts books worse beyond its training context", "pg19",
          bounded_beyond_training, effects=_BITS),
    Claim("Attention predicts books worse beyond its training context", "pg19", attention_beyond_training,
          where={"mixer": "attention"}, effects=_BITS),
    Claim("A state carried through books in training lowers HML's bits per byte over whole books", "pg19",
          carried_state_helps, where={"mixer": "hml"}, effects=_BITS),
    Claim("A longer memory is worth something: HML predicts the same words better with all the text before "
          "them than within its training context", "pg19", longer_memory_helps, where={"mixer": "hml"},
          effects=_BITS),
]  # fmt: skip
