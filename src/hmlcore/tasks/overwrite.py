"""Overwrite recall: keys are written several times, and the newest value is asked for."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hmlcore.checks import check_fields, check_int
from hmlcore.errors import require
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, as_batch
from hmlcore.tasks.sampling import sample_without_replacement


@dataclass(frozen=True)
class Overwrite(SyntheticTask):
    """`writes` pairs of a key and a value over `keys` distinct keys, then every key once::

        inputs   k_1 v_1  k_2 v_2  ...  k_W v_W | k'_1 k'_2 ... k'_K
        targets  ignored ...                    | newest values of k'_1 ... k'_K

    Each key is written at least once and the rest of the writes go to keys drawn uniformly, in random
    order, so a key is written W/K times on average. Every write brings a fresh value; a memory that adds
    where it should replace returns mixtures of old and new.

    Keys are distinct draws from 1 … vocab//2 − 1 and values uniform draws from vocab//2 … vocab − 1, as in
    MQAR; token 0 does not occur. T = 2·writes + keys.

    Raises :class:`~hmlcore.errors.HmlcoreError` unless 1 <= keys <= writes and keys < vocab//2.
    """

    name: ClassVar[str] = "overwrite"

    keys: int = 4
    writes: int = 16
    vocab: int = 64

    def __post_init__(self) -> None:
        check_fields(self, keys=(check_int,), writes=(check_int,), vocab=(check_int, 4))
        require(
            self.writes >= self.keys,
            f"writes must be at least keys={self.keys}, one each, not {self.writes}",
        )
        require(
            self.keys < self.vocab // 2,
            f"vocab must have more than keys={self.keys} key tokens, 1 … vocab//2 − 1; "
            f"at least {2 * self.keys + 2}, not {self.vocab}",
        )

    @property
    def vocab_size(self) -> int:
        return self.vocab

    @property
    def length(self) -> int:
        return 2 * self.writes + self.keys

    def conditions(self) -> dict[str, Any]:
        return {"keys": self.keys, "writes": self.writes}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        half, split = self.vocab // 2, 2 * self.writes
        keys = 1 + sample_without_replacement(rng, count, half - 1, self.keys)
        again = rng.integers(self.keys, size=(count, self.writes - self.keys))
        once = np.broadcast_to(np.arange(self.keys), (count, self.keys))
        which = rng.permuted(np.concatenate((once, again), 1), axis=1)
        values = rng.integers(half, self.vocab, size=(count, self.writes))
        newest = np.zeros((count, self.keys), dtype=np.int64)
        row = np.arange(count)
        for write in range(self.writes):
            newest[row, which[:, write]] = values[:, write]
        order = rng.permuted(once, axis=1)

        inputs = np.empty((count, self.length), dtype=np.int64)
        inputs[:, 0:split:2] = np.take_along_axis(keys, which, 1)
        inputs[:, 1:split:2] = values
        inputs[:, split:] = np.take_along_axis(keys, order, 1)
        targets = np.full((count, self.length), IGNORE, dtype=np.int64)
        targets[:, split:] = np.take_along_axis(newest, order, 1)
        return as_batch(inputs, targets)
