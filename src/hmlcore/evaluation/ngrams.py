"""What counting is worth: an n-gram model of tokens with interpolated modified Kneser–Ney smoothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hmlcore.checks import check_int
from hmlcore.errors import require

Rows = np.ndarray | Sequence[np.ndarray]
"""Tokens of texts that know nothing of each other: [R, T], or R arrays of any lengths, [T_r] each."""


@dataclass(frozen=True)
class Order:
    """The k-grams of one length.

    Attributes:
        keys: [n] ascending: number of the gram's context among those of the order below, times V, plus its last
            token; a gram's own number is its place here.
        counts: [n] of the highest order how often it was seen, else how many tokens were seen before it.
        totals: [contexts] sums of counts over the last token. spared: [contexts] mass that discounts leave to
            the order below. discounts: [4] of counts 0, 1, 2, and 3 or more.
    """

    keys: np.ndarray
    counts: np.ndarray
    totals: np.ndarray
    spared: np.ndarray
    discounts: np.ndarray


class KneserNey:
    r"""With c the counts of :class:`Order`, h' the context h without its first token, and P_0 = 1/V,

        P_k(w | h) = max(c(hw) − D(c(hw)), 0) / c(h·) + γ(h) P_{k−1}(w | h'),
        γ(h) = (D₁N₁(h·) + D₂N₂(h·) + D₃N₃₊(h·)) / c(h·),
        D_i = i − (i + 1) Y n_{i+1}/n_i,    Y = n₁/(n₁ + 2n₂)

    and P_k = P_{k−1} where h was never seen. Every token has a probability above 0. Counts never cross from one
    row into another; what begins a row is predicted from as many tokens as there are before it.

    Args:
        rows: what is counted, integers in [0, V): [R, T], or R arrays [T_r]. vocabulary: V. order: n, tokens a
            gram has. places: where in one long text each row begins [R], so that what several rows read at one
            place is counted once, for it is seen twice but was written once; None counts every row.
    Source: Kneser and Ney, Improved backing-off for m-gram language modeling (ICASSP 1995); Chen and Goodman,
    An empirical study of smoothing techniques for language modeling (Computer Speech and Language 13, 1999),
    interpolated. Where counts of counts give no D_i, or none above 0, they are .5, 1 and 1.5.
    Raises: HmlcoreError for rows of other shapes, without tokens, with other values, or all shorter than n, and
        for places that are not one for each row.
    """

    def __init__(
        self, rows: Rows, vocabulary: int, order: int = 5, places: Sequence[int] | np.ndarray | None = None
    ):
        self.vocabulary, self.order = check_int("vocabulary", vocabulary), check_int("order", order)
        tokens, before = self._laid_out(rows)
        longest = int(before.max()) + 1
        require(longest >= self.order, f"rows have at most {longest} tokens, fewer than order = {self.order}")
        where = None if places is None else _everywhere(places, before)
        tables, counts = [], []
        grams = np.zeros(len(tokens), np.int64)  # which gram of the order below ends here
        for k in range(self.order):
            ends = np.flatnonzero(before >= k)
            if where is not None and k == self.order - 1:  # below, different grams are counted, not places
                ends = ends[np.unique(where[ends], return_index=True)[1]]
            keys, first, numbers, seen = np.unique(
                grams[ends - 1] * self.vocabulary + tokens[ends],
                return_index=True, return_inverse=True, return_counts=True,
            )  # fmt: skip
            if k:  # a different token before it for each different gram that it ends
                counts.append(np.bincount(grams[ends[first]], minlength=len(tables[-1])))
            grams = np.full(len(tokens), -1)
            grams[ends] = numbers
            tables.append(keys)
        contexts = [1, *map(len, tables[:-1])]
        self.orders = [
            _smoothed(keys, count, size, self.vocabulary)
            for keys, count, size in zip(tables, [*counts, seen], contexts, strict=True)
        ]

    def bits(self, rows: Rows) -> np.ndarray | list[np.ndarray]:
        """−log₂ P of every token of `rows`, given the tokens before it in its row, as they are given: [R, T]
        float64, or a list of [T_r].

        Raises: HmlcoreError as for the rows that are counted, of any length.
        """
        tokens, before = self._laid_out(rows)
        p = np.full(len(tokens), 1 / self.vocabulary)
        grams = np.zeros(len(tokens), np.int64)
        for k, order in enumerate(self.orders):
            ends = np.flatnonzero(before >= k)
            ends = ends[grams[ends - 1] >= 0]
            context = grams[ends - 1]
            keys = context * self.vocabulary + tokens[ends]
            place = np.minimum(np.searchsorted(order.keys, keys), len(order.keys) - 1)
            found = order.keys[place] == keys
            count, total = np.where(found, order.counts[place], 0), order.totals[context]
            own = count - order.discounts[np.minimum(count, 3)]
            # A context that only began rows has no continuation counts, and says nothing.
            mixed = (own + order.spared[context] * p[ends]) / np.maximum(total, 1)
            p[ends] = np.where(total > 0, mixed, p[ends])
            grams = np.full(len(tokens), -1)
            grams[ends] = np.where(found, place, -1)
        bits = -np.log2(p)
        if isinstance(rows, np.ndarray):
            return bits.reshape(rows.shape)
        return np.split(bits, np.flatnonzero(before == 0)[1:])

    def _laid_out(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """All tokens one after another, and how many of its row come before each: [ΣT], [ΣT]."""
        parts = [np.asarray(rows)] if isinstance(rows, np.ndarray) else [np.asarray(row) for row in rows]
        for part in parts:
            wanted = 2 if isinstance(rows, np.ndarray) else 1
            require(
                part.ndim == wanted and part.size > 0 and np.issubdtype(part.dtype, np.integer),
                f"rows must be integers [R, T] or a list of [T], got {part.dtype} of shape {part.shape}",
            )
        require(len(parts) > 0, "rows must not be empty")
        sizes = [part.shape[-1] for part in parts for _ in range(part.size // part.shape[-1])]
        tokens = np.concatenate([part.ravel() for part in parts]).astype(np.int64)
        low, high = int(tokens.min()), int(tokens.max())
        require(
            low >= 0 and high < self.vocabulary,
            f"rows must be in [0, vocabulary = {self.vocabulary}), got {low if low < 0 else high}",
        )
        starts = np.cumsum([0, *sizes[:-1]])
        return tokens, np.arange(len(tokens)) - np.repeat(starts, sizes)


def _everywhere(places: Sequence[int] | np.ndarray, before: np.ndarray) -> np.ndarray:
    """The place of every token [ΣT], of rows that begin at `places` [R]."""
    starts, begun = np.asarray(places), np.cumsum(before == 0) - 1
    require(
        starts.shape == (begun[-1] + 1,) and np.issubdtype(starts.dtype, np.integer),
        f"places must be {begun[-1] + 1} integers, one a row, got {starts.dtype} of shape {starts.shape}",
    )
    return starts[begun] + before


def _smoothed(keys: np.ndarray, counts: np.ndarray, contexts: int, vocabulary: int) -> Order:
    context = keys // vocabulary
    discounts = _discounts(counts)
    totals, spared = (
        np.bincount(context, weights, minlength=contexts)
        for weights in (counts, discounts[np.minimum(counts, 3)])
    )
    return Order(keys, counts, totals, spared, discounts)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """D of counts 0, 1, 2, and 3 or more. None is 0: a context must leave something to what is unseen."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if n.all():
        y = n[0] / (n[0] + 2 * n[1])
        found = np.array([0.0, *(i - (i + 1) * y * n[i] / n[i - 1] for i in (1, 2, 3))])
        if (found[1:] > 0).all():
            return found
    return np.array([0.0, 0.5, 1.0, 1.5])
