"""What counting is worth: an n-gram model of tokens with interpolated modified Kneser–Ney smoothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hmlcore.checks import check_int
from hmlcore.errors import require


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

    and P_k = P_{k−1} where h was never seen. Counts never cross from one row into another; what begins a row
    is predicted from as many tokens as there are before it.

    Args:
        rows: [R, T] integers in [0, vocabulary), what is counted. vocabulary: V. order: n, tokens a gram has.
    Source: Chen and Goodman, An empirical study of smoothing techniques for language modeling (1999),
    interpolated; where counts of counts are too few for its discounts, .5, 1 and 1.5.
    Raises: HmlcoreError for rows that are not two-dimensional, empty, or hold other values.
    """

    def __init__(self, rows: np.ndarray, vocabulary: int, order: int = 5):
        self.vocabulary, self.order = check_int("vocabulary", vocabulary), check_int("order", order)
        rows = self._checked(rows)
        require(rows.shape[1] >= self.order, f"rows have {rows.shape[1]} tokens, fewer than order = {order}")
        tables, numbers, firsts, seen = [], np.zeros((len(rows), rows.shape[1] + 1), np.int64), [], None
        for _ in range(self.order):
            # Of every gram that has all its tokens, by the number of the one that ends a token earlier.
            keys = numbers[:, :-1] * self.vocabulary + rows[:, rows.shape[1] - numbers.shape[1] + 1 :]
            table, first, inverse, seen = np.unique(
                keys, return_index=True, return_inverse=True, return_counts=True
            )
            tables.append(table)
            firsts.append((first, numbers.shape[1] - 1, inverse.reshape(keys.shape)))
            numbers = inverse.reshape(keys.shape)
        counts = [self._continuations(firsts[k], firsts[k + 1], len(tables[k])) for k in range(self.order - 1)]
        contexts = [1, *map(len, tables)]
        self.orders = [
            _smoothed(keys, count, size, self.vocabulary)
            for keys, count, size in zip(tables, [*counts, seen], contexts, strict=False)
        ]

    @staticmethod
    def _continuations(own: tuple, longer: tuple, size: int) -> np.ndarray:
        """How many different grams one token longer end with each gram."""
        (_, _, numbers), (first, width, _) = own, longer
        row, column = np.divmod(first, width)
        return np.bincount(numbers[row, column + 1], minlength=size)  # the same place, a column further on

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows)
        require(
            rows.ndim == 2 and rows.size > 0 and np.issubdtype(rows.dtype, np.integer),
            f"rows must be integers [R, T], got {rows.dtype} of shape {rows.shape}",
        )
        low, high = int(rows.min()), int(rows.max())
        require(
            0 <= low and high < self.vocabulary,
            f"rows must be in [0, vocabulary = {self.vocabulary}), got {low if low < 0 else high}",
        )
        return rows.astype(np.int64)

    def bits(self, rows: np.ndarray) -> np.ndarray:
        """−log₂ P of every token of rows [R, T], given the tokens before it in its row: [R, T] float64."""
        rows = self._checked(rows)
        p = np.full(rows.shape, 1 / self.vocabulary)
        contexts = np.zeros((len(rows), rows.shape[1] + 1), np.int64)  # of the empty one, before every token
        for k, order in enumerate(self.orders[: rows.shape[1]]):
            here, context = rows[:, k:], contexts[:, :-1]
            keys = np.where(context < 0, -1, context * self.vocabulary + here)
            place = np.minimum(np.searchsorted(order.keys, keys), len(order.keys) - 1)
            found = order.keys[place] == keys
            count = np.where(found, order.counts[place], 0)
            total = np.where(context < 0, 0, order.totals[context])
            own = np.maximum(count - order.discounts[np.minimum(count, 3)], 0)
            mixed = (own + order.spared[context] * p[:, k:]) / np.maximum(total, 1)
            p[:, k:] = np.where(total > 0, mixed, p[:, k:])
            contexts = np.where(found, place, -1)
        return -np.log2(p)


def _smoothed(keys: np.ndarray, counts: np.ndarray, contexts: int, vocabulary: int) -> Order:
    context = keys // vocabulary
    discounts = _discounts(counts)
    totals, spared = (
        np.bincount(context, weights, minlength=contexts)
        for weights in (counts, discounts[np.minimum(counts, 3)])
    )
    return Order(keys, counts, totals, spared, discounts)


def _discounts(counts: np.ndarray) -> np.ndarray:
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(float)
    if not n.all():
        return np.array([0.0, 0.5, 1.0, 1.5])
    y = n[0] / (n[0] + 2 * n[1])
    return np.array([0.0, *(np.clip(i - (i + 1) * y * n[i] / n[i - 1], 0, i) for i in (1, 2, 3))])


def rows_of(batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The rows that batches of next-token prediction are cut from: inputs and targets [B, T] → [ΣB, T + 1]."""
    return np.concatenate([np.concatenate([x, y[:, -1:]], 1) for x, y in batches])
