"""Random ListOps expressions, thousands at a time: drawn, written down and evaluated level by level.

An expression is a digit or an operator over a list of expressions, ``[MAX 2 [MED 7 1 4 ] 9 ]``.
The law of Long Range Arena's generator: a node above the deepest level is an operator with
probability 1/4, of a uniform kind, over a uniform number of children from 2 to `max_args`; else, and
at depth `max_depth`, it is a uniform digit. Expressions outside the wanted lengths are thrown away.
"""

from dataclasses import dataclass

import numpy as np

OPERATOR_SHARE = 0.25
OPERATORS = ("MIN", "MAX", "MED", "SM")
# 0 is padding, 1 … 10 are the digits, then the operators, then the closing bracket.
_DIGIT, _OPERATOR, END = 1, 11, 15
VOCABULARY = END + 1
NAMES = ("", *"0123456789", *(f"[{operator}" for operator in OPERATORS), "]")


@dataclass
class _Level:
    """The nodes of one depth in order, siblings together.

    tree: number of the expression [n].  parent: place in the level above [n], −1 for roots.
    digit: [n].  kind: operator, −1 for a digit [n].  args: children, 0 for a digit [n].
    """

    tree: np.ndarray
    parent: np.ndarray
    digit: np.ndarray
    kind: np.ndarray
    args: np.ndarray

    def keep(self, trees: np.ndarray, places: np.ndarray | None) -> tuple["_Level", np.ndarray]:
        """The nodes of the chosen trees (renumbered), parents at their new `places`; and where each went."""
        kept = trees[self.tree] >= 0
        parent = self.parent[kept] if places is None else places[self.parent[kept]]
        level = _Level(trees[self.tree[kept]], parent, self.digit[kept], self.kind[kept], self.args[kept])
        return level, np.cumsum(kept) - 1


def _draw_level(
    rng: np.random.Generator, tree: np.ndarray, parent: np.ndarray, deepest: bool, max_args: int
) -> _Level:
    count = len(tree)
    digit = rng.integers(10, size=count)
    kind, args = np.full(count, -1), np.zeros(count, dtype=np.int64)
    if not deepest:
        # A root that is a digit is a whole expression of length 1, which is never wanted.
        operator = (rng.random(count) <= OPERATOR_SHARE) | (parent < 0)
        kind[operator] = rng.integers(len(OPERATORS), size=operator.sum())
        args[operator] = rng.integers(2, max_args + 1, size=operator.sum())
    return _Level(tree, parent, digit, kind, args)


def _draw(
    rng: np.random.Generator, count: int, max_depth: int, max_args: int, min_length: int, max_length: int
) -> list[_Level]:
    """The levels of those of `count` random trees with min_length < length < max_length."""
    levels, length = [], np.zeros(count, dtype=np.int64)
    tree, parent = np.arange(count), np.full(count, -1)
    for depth in range(1, max_depth + 1):
        level = _draw_level(rng, tree, parent, depth == max_depth, max_args)
        levels.append(level)
        # A digit is one token, an operator two (itself and its bracket), a child at least one.
        operator = level.kind >= 0
        length += np.bincount(level.tree, weights=1 + operator, minlength=count).astype(np.int64)
        pending = np.bincount(level.tree, weights=level.args, minlength=count)
        going = np.flatnonzero((operator) & ((length + pending < max_length)[level.tree]))
        length[length + pending >= max_length] = max_length
        if not len(going):
            break
        parent = np.repeat(going, level.args[going])
        tree = level.tree[parent]
    chosen = (length > min_length) & (length < max_length)
    number = np.where(chosen, np.cumsum(chosen) - 1, -1)
    kept, places = [], None
    for level in levels:
        level, places = level.keep(number, places)
        if not len(level.tree):
            break
        kept.append(level)
    return kept


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts) - counts


def _evaluate(levels: list[_Level]) -> np.ndarray:
    """The value of every root: MIN, MAX, MED (an even list's median rounded down), SM (sum modulo 10)."""
    values = levels[-1].digit
    for level, below in zip(levels[-2::-1], levels[:0:-1], strict=True):
        operator = level.kind >= 0
        first, count = _starts(level.args[operator]), level.args[operator]
        in_order = values[np.lexsort((values, below.parent))]
        median = (in_order[first + (count - 1) // 2] + in_order[first + count // 2]) // 2
        results = np.stack(
            (in_order[first], in_order[first + count - 1], median, np.add.reduceat(values, first) % 10)
        )
        values = level.digit.copy()
        values[operator] = results[level.kind[operator], np.arange(len(first))]
    return values


def _write(levels: list[_Level]) -> tuple[np.ndarray, np.ndarray]:
    """All tokens end to end [N] uint8 and where each expression begins and the last ends [n + 1]."""
    sizes = [np.ones(len(level.tree), dtype=np.int64) for level in levels]
    for level, size, below in zip(levels[-2::-1], sizes[-2::-1], sizes[:0:-1], strict=True):
        operator = level.kind >= 0
        size[operator] = 2 + np.add.reduceat(below, _starts(level.args[operator]))
    offsets = np.concatenate(([0], np.cumsum(sizes[0])))
    tokens = np.zeros(offsets[-1], dtype=np.uint8)
    place = offsets[:-1]
    for i, (level, size) in enumerate(zip(levels, sizes, strict=True)):
        operator = level.kind >= 0
        tokens[place] = np.where(operator, _OPERATOR + level.kind, _DIGIT + level.digit)
        tokens[(place + size - 1)[operator]] = END
        if i + 1 < len(levels):
            # A child stands after its parent's operator and its elder siblings.
            before = _starts(sizes[i + 1])
            eldest = _starts(level.args[operator])
            inside = before - np.repeat(before[eldest], level.args[operator])
            place = place[levels[i + 1].parent] + 1 + inside
    return tokens, offsets


def random_expressions(
    rng: np.random.Generator, count: int, max_depth: int, max_args: int, min_length: int, max_length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Those of `count` random operator-rooted expressions with min_length < length < max_length.

    Returns: tokens end to end [N] uint8, offsets [n + 1], values [n].
    """
    levels = _draw(rng, count, max_depth, max_args, min_length, max_length)
    if not levels:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64), np.zeros(0, np.int64)
    return *_write(levels), _evaluate(levels)


def longest(max_depth: int, max_args: int, enough: int) -> int:
    """The length of the longest possible expression; where that exceeds `enough`, of one that does."""
    length, depth = 1, 1
    while depth < max_depth and length <= enough:
        length, depth = 2 + max_args * length, depth + 1
    return length
