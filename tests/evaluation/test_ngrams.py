"""The n-gram model against the formulas written with dictionaries, and as a distribution."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.ngrams import KneserNey


def corpus(seed, rows=12, length=30, vocabulary=5, skew=2.0):
    """Tokens of a random chain: neither uniform nor independent."""
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(vocabulary, 1 / skew), size=(vocabulary, vocabulary))
    out = rng.integers(vocabulary, size=(rows, length))
    for t in range(2, length):
        for r in range(rows):
            out[r, t] = rng.choice(vocabulary, p=table[out[r, t - 2], out[r, t - 1]])
    return out


def grams(rows, k):
    return [tuple(row[i : i + k]) for row in map(list, rows) for i in range(len(row) - k + 1)]


def places_of(row, k):
    return enumerate(grams([row], k))


class Oracle:
    """The same model, gram by gram."""

    def __init__(self, rows, vocabulary, order, places=None):
        self.vocabulary, self.order, self.c, self.d = vocabulary, order, {}, {}
        for k in range(1, order + 1):
            if k == order:
                counts = Counter(grams(rows, k))
                if places is not None:
                    at = {(p + i, g) for p, row in zip(places, rows, strict=True) for i, g in places_of(row, k)}
                    counts = Counter(gram for _, gram in at)
            else:
                counts = Counter(gram[1:] for gram in set(grams(rows, k + 1)))
            n = Counter(counts.values())
            self.c[k] = counts
            self.d[k] = {1: 0.5, 2: 1.0, 3: 1.5}
            if all(n[i] for i in (1, 2, 3, 4)):
                y = n[1] / (n[1] + 2 * n[2])
                d = {i: i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)}
                self.d[k] = d if min(d.values()) > 0 else self.d[k]
        self.after = {k: defaultdict(dict) for k in self.c}
        for k, counts in self.c.items():
            for gram, count in counts.items():
                self.after[k][gram[:-1]][gram[-1]] = count

    def p(self, context, token):
        if not context and not self.after[1][()]:
            return 1 / self.vocabulary
        lower = self.p(context[1:], token) if context else 1 / self.vocabulary
        seen = self.after[len(context) + 1].get(tuple(context), {})
        if not seen:
            return lower
        total, d = sum(seen.values()), self.d[len(context) + 1]
        count = seen.get(token, 0)
        own = max(count - d[min(count, 3)], 0) if count else 0
        return (own + sum(d[min(c, 3)] for c in seen.values()) * lower) / total

    def bits(self, row):
        contexts = [tuple(row[max(0, t - self.order + 1) : t]) for t in range(len(row))]
        return [-np.log2(self.p(c, token)) for c, token in zip(contexts, row, strict=True)]


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_what_the_formulas_say(order, seed):
    train, held = corpus(seed), corpus(seed + 10, rows=4)
    held[0, :3], held[1, 5] = 4, 5  # a token that never occurs
    oracle = Oracle(train, 6, order)
    wanted = [oracle.bits(row) for row in held.tolist()]
    np.testing.assert_allclose(KneserNey(train, 6, order).bits(held), wanted, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 3, 5])
def test_rows_may_have_any_lengths(order):
    """As streams have whose documents end: rows of one token, of fewer than n, and of many."""
    sizes = [30, 1, 3, 17, 2, 30, 4]
    train, held = ([row[:n] for row, n in zip(corpus(seed), sizes, strict=False)] for seed in (2, 4))
    oracle, found = Oracle(train, 6, order), KneserNey(train, 6, order).bits(held)
    assert [len(bits) for bits in found] == sizes
    for row, bits in zip(held, found, strict=True):
        np.testing.assert_allclose(bits, oracle.bits(row.tolist()), rtol=1e-12)


def test_rows_and_lists_of_rows_are_the_same():
    train, held = corpus(0), corpus(1)
    assert np.array_equal(KneserNey(train, 5, 4).bits(held), KneserNey(list(train), 5, 4).bits(list(held)))
    assert np.array_equal(KneserNey(train, 5, 4).bits(held), KneserNey(train.copy(), 5, 4).bits(held))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_what_several_rows_read_at_one_place_is_counted_once(order):
    """Of overlapping windows the oracle counts each (place, gram) once; lower orders count kinds anyway."""
    line, held = corpus(7, rows=1, length=200)[0], corpus(8, rows=3)
    places = np.random.default_rng(0).integers(180, size=40)
    rows = np.array([line[p : p + 20] for p in places])
    model = KneserNey(rows, 6, order, places)
    oracle = Oracle(rows, 6, order, places.tolist())
    np.testing.assert_allclose(model.bits(held), [oracle.bits(row) for row in held.tolist()], rtol=1e-12)
    assert not np.allclose(model.bits(held), KneserNey(rows, 6, order).bits(held))
    twice = KneserNey(np.concatenate([rows, rows]), 6, order, [*places, *places])
    assert np.array_equal(twice.bits(held), model.bits(held))


@pytest.mark.parametrize("context", [(), (0,), (1, 2, 3), (3, 3, 3, 3), (5, 5)])
def test_probabilities_add_up_to_one_after_any_context(context):
    model = KneserNey(corpus(3), 6, 4)
    rows = np.array([[*context, token] for token in range(6)])
    assert np.exp2(-model.bits(rows)[:, -1]).sum() == pytest.approx(1, abs=1e-12)


def test_nothing_is_impossible_where_a_discount_would_be_zero():
    """Counts of counts 2, 2, 4, 1 give D_2 = 2 − 3·⅓·4/2 = 0: a context with a two only would leave nothing."""
    counts = [1, 1, 2, 2, 3, 3, 3, 3, 4]
    model = KneserNey(np.array([[a, 9] for a, count in enumerate(counts) for _ in range(count)]), 10, 2)
    p = np.exp2(-model.bits(np.array([[a, b] for a in range(10) for b in range(10)])))[:, 1].reshape(10, 10)
    assert p.min() > 0
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)


def test_by_hand():
    """ab, ab, ac: after a, c(ab) = 2 and c(ac) = 1 are discounted by 1 and .5, and 1.5 of 3 go to the unigrams;
    of those b and c have been seen after one token each, of which .5 is taken, and 1 of 2 goes to 1/3 each."""
    model = KneserNey(np.array([[0, 1], [0, 1], [0, 2]]), 3, 2)
    unigram = (0.5 + 1.0 / 3) / 2
    assert np.exp2(-model.bits(np.array([[0, 1]])))[0, 1] == pytest.approx((1 + 1.5 * unigram) / 3)
    assert np.exp2(-model.bits(np.array([[0, 0]])))[0, 1] == pytest.approx(1.5 / 3 * 1 / 6)


def test_longer_grams_tell_more_and_nothing_crosses_rows():
    train, held = corpus(5, rows=400), corpus(5, rows=420)[400:]
    worth = [KneserNey(train, 5, order).bits(held).mean() for order in (1, 2, 3)]
    assert worth[0] > worth[1] + 0.1 > worth[2] + 0.2
    twice = KneserNey(np.array([[0, 1, 0, 1], [2, 3, 2, 3]]), 4, 2)
    apart = KneserNey(np.array([[2, 3, 2, 3], [0, 1, 0, 1]]), 4, 2)
    assert np.array_equal(twice.bits(held % 4), apart.bits(held % 4))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros(3, int), r"rows must be integers \[R, T\] or a list of \[T\], got int64 of shape \(3,\)"),
        ([np.zeros(3, int), np.zeros((1, 3), int)], r"got int64 of shape \(1, 3\)"),
        ([np.zeros(3, int), np.zeros(0, int)], r"got int64 of shape \(0,\)"),
        ([], "rows must not be empty"),
        (np.zeros((2, 3)), "got float64"),
        (np.full((2, 3), 7), r"rows must be in \[0, vocabulary = 4\), got 7"),
        (np.full((2, 3), -1), "got -1"),
        (np.zeros((2, 1), int), "rows have at most 1 tokens, fewer than order = 2"),
    ],
)
def test_bad_rows_are_refused(rows, message):
    with pytest.raises(HmlcoreError, match=message):
        KneserNey(rows, 4, 2)


def test_rows_that_are_asked_about_are_checked_too():
    model = KneserNey(np.zeros((2, 3), int), 4, 2)
    with pytest.raises(HmlcoreError, match="got 4"):
        model.bits(np.array([[4]]))


@pytest.mark.parametrize("places", [[0], [0, 1, 2], [[0, 1]], [0.0, 1.0]])
def test_bad_places_are_refused(places):
    with pytest.raises(HmlcoreError, match=r"places must be 2 integers, one a row, got (int|float)64 of shape"):
        KneserNey(np.zeros((2, 3), int), 4, 2, places)


@pytest.mark.parametrize(("vocabulary", "order"), [(0, 2), (4, 0), (4.5, 2), (4, True), ("4", 2)])
def test_bad_sizes_are_refused(vocabulary, order):
    with pytest.raises(HmlcoreError, match=r"^(vocabulary|order) must be "):
        KneserNey(np.zeros((2, 3), int), vocabulary, order)
