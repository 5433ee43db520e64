"""A needle in a haystack, small enough to be learned from scratch: RULER's retrieval over single tokens."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from hmlcore.errors import HmlcoreError, require
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, check_int
from hmlcore.tasks.draws import distinct


@dataclass(frozen=True)
class Needle(SyntheticTask):
    """`needles` keys with their values lie in a haystack of filler; `queries` of the keys are asked for::

        inputs   f f f  k v_1 ... v_n  f f f f f f | ASK k v_1 ... v_{n−1}
        targets  ignored ...                       | .   v_1 v_2 ... v_n

    A needle is its key and `values` values in a row. The value is said at the key of the question, and
    further values after the correct one before it (teacher forcing). `depth` places the needle that is
    asked for first: 0 where the haystack begins, 1 where it ends, None uniformly at random; the others lie
    at random. So with RULER's names: single is needles = values = queries = 1, multi-key has more needles,
    multi-value more values, multi-query more queries.

    Tokens: filler 0 … fillers − 1, then `keys` key tokens, then `letters` value tokens, then ASK: keys and
    values never occur as filler. Keys of one example are distinct.
    After Hsieh et al., "RULER" (2024), arXiv 2404.06654, whose needles are English sentences.

    Raises :class:`~hmlcore.errors.HmlcoreError` for queries > needles, needles > keys, a depth outside
    [0, 1], and a length that does not hold the needles and the questions.
    """

    name: ClassVar[str] = "needle"

    length: int = 64
    depth: float | None = None
    needles: int = 1
    values: int = 1
    queries: int = 1
    keys: int = 16
    letters: int = 16
    fillers: int = 16

    def __post_init__(self) -> None:
        for knob in ("needles", "values", "queries", "keys", "fillers"):
            check_int(knob, getattr(self, knob), 1)
        check_int("letters", self.letters, 2)
        check_int("length", self.length, 1)
        require(
            self.queries <= self.needles,
            f"queries must be at most needles={self.needles}, not {self.queries}",
        )
        require(self.needles <= self.keys, f"needles must be at most keys={self.keys}, not {self.needles}")
        least = (self.needles + self.queries) * (1 + self.values)
        require(
            self.length >= least,
            f"length must hold {self.needles} needles and {self.queries} questions of {1 + self.values} "
            f"tokens: at least {least}, not {self.length}",
        )
        depth = self.depth
        number = isinstance(depth, int | float) and not isinstance(depth, bool)
        if depth is not None and not (number and 0 <= depth <= 1):
            raise HmlcoreError(f"depth must be None or between 0 and 1, not {depth!r}")

    @property
    def ask(self) -> int:
        """The token that announces a question."""
        return self.fillers + self.keys + self.letters

    @property
    def vocab_size(self) -> int:
        return self.ask + 1

    @property
    def haystack(self) -> int:
        """Tokens before the first question."""
        return self.length - self.queries * (1 + self.values)

    def conditions(self) -> dict[str, Any]:
        shown = ("length", "depth", "needles", "values", "queries")
        return {name: getattr(self, name) for name in shown}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        block = 1 + self.values
        keys = self.fillers + distinct(rng, count, self.keys, self.needles)
        shape = (count, self.needles, self.values)
        values = self.fillers + self.keys + rng.integers(self.letters, size=shape)
        needle = np.concatenate((keys[..., None], values), 2)  # [count, needles, block]
        starts = self._starts(rng, count)

        inputs = rng.integers(self.fillers, size=(count, self.length))
        at = starts[..., None] + np.arange(block)
        np.put_along_axis(inputs, at.reshape(count, -1), needle.reshape(count, -1), axis=1)
        targets = np.full((count, self.length), IGNORE, dtype=np.int64)
        questions = inputs[:, self.haystack :].reshape(count, self.queries, block)
        questions[..., 0] = self.ask
        questions[..., 1:] = needle[:, : self.queries, :-1]
        targets[:, self.haystack :].reshape(count, self.queries, block)[..., 1:] = values[:, : self.queries]
        return Batch(torch.from_numpy(inputs), torch.from_numpy(targets))

    def _starts(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """[count, needles] first positions of needles that do not overlap, the one asked first at `depth`.

        Every needle shrunk to one slot, slots are drawn without repetition and then grow again.
        """
        slots = self.haystack - self.needles * self.values
        drawn = distinct(rng, count, slots, self.needles)
        if self.depth is not None:
            wanted = round(self.depth * (slots - 1))
            # Whoever drew the wanted slot gives it to the first needle for that needle's own.
            drawn = np.where(drawn == wanted, drawn[:, :1], drawn)
            drawn[:, 0] = wanted
        before = (drawn[:, None, :] < drawn[:, :, None]).sum(2)
        return drawn + before * self.values
