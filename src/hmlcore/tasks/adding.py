"""The adding problem in tokens: keep two marked numbers among many, and say their sum."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hmlcore.checks import check_fields, check_int
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, as_batch


@dataclass(frozen=True)
class Adding(SyntheticTask):
    """Say the sum of the two marked ones among n = T − 1 numbers, at the last position.

    Numbers of [0, 1) are rounded down to L = levels levels, l/L with l uniform on 0..L−1. One mark
    is uniform on the first ⌊n/2⌋ positions, i, the other on the rest, j::

        inputs   l_1 ... L + l_i ... L + l_j ... l_n | ASK
        targets  ignored ...                         | l_i + l_j

    Tokens: level l is l unmarked and L + l marked; ASK is 2L; the vocabulary has 2L + 1. The answer is
    the level sum 0..2L−2, a token of the same vocabulary.

    Tokens, because the one backbone that all memories are compared in is a token model; real inputs and
    a squared error would need another one, whose results could not stand beside these. What is lost is
    that nearby numbers look alike; what is kept is the problem, two things to hold for about T/2 steps
    among distractors of their own kind. With levels = 100, "|error| <= .01" is an answer off by at most
    one. The best guess, L − 1, is right once in L.

    Source: Hochreiter and Schmidhuber (1997), "Long short-term memory", whose numbers are real; one
    mark in each half, as in Arjovsky, Shah and Bengio (2016), arXiv 1511.06464.
    Raises :class:`~hmlcore.errors.HmlcoreError` for length < 3, levels < 2.
    """

    name: ClassVar[str] = "adding"

    length: int = 64
    levels: int = 100

    def __post_init__(self) -> None:
        check_fields(self, length=(check_int, 3), levels=(check_int, 2))

    @property
    def ask(self) -> int:
        """The token that asks for the sum."""
        return 2 * self.levels

    @property
    def vocab_size(self) -> int:
        return 2 * self.levels + 1

    def conditions(self) -> dict[str, Any]:
        return {"levels": self.levels, "length": self.length}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        numbers = self.length - 1
        half = numbers // 2
        level = rng.integers(self.levels, size=(count, numbers))
        early = rng.integers(half, size=(count, 1))
        late = half + rng.integers(numbers - half, size=(count, 1))
        marked = np.concatenate([early, late], axis=1)
        chosen = np.take_along_axis(level, marked, axis=1)
        inputs = np.full((count, self.length), self.ask, dtype=np.int64)
        inputs[:, :-1] = level
        np.put_along_axis(inputs, marked, self.levels + chosen, axis=1)
        targets = np.full((count, self.length), IGNORE, dtype=np.int64)
        targets[:, -1] = chosen.sum(1)
        return as_batch(inputs, targets)
