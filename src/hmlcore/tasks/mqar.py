"""MQAR: multi-query associative recall, Zoology's definition."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hmlcore.checks import check_bool, check_fields, check_int, check_positive
from hmlcore.errors import HmlcoreError
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, as_batch
from hmlcore.tasks.sampling import sample_without_replacement


@dataclass(frozen=True)
class MQAR(SyntheticTask):
    """Read `pairs` key-value pairs, then answer every key with its value where the key comes back.

    A sequence of T = length tokens starts with the block k_1 v_1 ... k_n v_n (n = pairs): keys drawn
    without repetition from 1..V/2−1, values without repetition from V/2..V−1, V = vocab. The rest is
    divided into S = (T − 2n)/2 places of two tokens, numbered 0..S−1; key k_j comes back as the first
    token of place g_j, where g_1, g_2, ... are drawn one after another without replacement with
    probability proportional to a·(g + 1)^(a−1), a = power_a. a = 1 is uniform; a small a puts most
    queries soon after the block, as repeated bigrams fall in text. The target at a query is its value,
    in the same position; nothing else is scored. A position that holds neither pair nor query is a
    uniform draw from the whole vocabulary, or token 0 when random_non_queries is off.

    Source: Arora, Eyuboglu et al., "Zoology" (2023), arXiv 2312.04927, and its `multiquery_ar`
    generator, whose defaults these are.

    Raises :class:`~hmlcore.errors.HmlcoreError` unless length is even, 4·pairs <= length < vocab,
    power_a > 0.
    """

    name: ClassVar[str] = "mqar"

    length: int = 64
    pairs: int = 4
    vocab: int = 8192
    power_a: float = 0.01
    random_non_queries: bool = True

    def __post_init__(self) -> None:
        check_fields(
            self, length=(check_int, 4), pairs=(check_int,), vocab=(check_int, 5), power_a=(check_positive,),
            random_non_queries=(check_bool,),
        )  # fmt: skip
        if self.length % 2:
            raise HmlcoreError(f"length must be even, not {self.length}")
        if 4 * self.pairs > self.length:
            least = 4 * self.pairs
            raise HmlcoreError(f"pairs={self.pairs} needs a length of at least {least}, not {self.length}")
        if self.vocab <= self.length:
            raise HmlcoreError(f"vocab must exceed length={self.length}, not be {self.vocab}")

    @property
    def vocab_size(self) -> int:
        return self.vocab

    def conditions(self) -> dict[str, Any]:
        return {"pairs": self.pairs, "length": self.length}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        half = self.vocab // 2
        context = 2 * self.pairs
        keys = 1 + sample_without_replacement(rng, count, half - 1, self.pairs)
        values = half + sample_without_replacement(rng, count, self.vocab - half, self.pairs)
        at = context + 2 * self._gaps(rng, count)

        if self.random_non_queries:
            inputs = rng.integers(self.vocab, size=(count, self.length))
        else:
            inputs = np.zeros((count, self.length), dtype=np.int64)
        inputs[:, 0:context:2] = keys
        inputs[:, 1:context:2] = values
        np.put_along_axis(inputs, at, keys, axis=1)
        targets = np.full((count, self.length), IGNORE, dtype=np.int64)
        np.put_along_axis(targets, at, values, axis=1)
        return as_batch(inputs, targets)

    def _gaps(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """[count, pairs] places, in the order drawn.

        Adding Gumbel noise to log-weights and sorting in descending order is sequential sampling
        without replacement (Vieira 2014; Kool et al. 2019), for all rows at once. The factor a of the
        power law cancels in the normalisation.
        """
        place = np.arange(1, (self.length - 2 * self.pairs) // 2 + 1)
        scores = (self.power_a - 1) * np.log(place) + rng.gumbel(size=(count, len(place)))
        return np.argsort(-scores, axis=1)[:, : self.pairs]
