"""Linear recurrences modulo a prime: find the rule from the first terms, then follow it."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hmlcore.checks import check_fields, check_int
from hmlcore.errors import HmlcoreError, require
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, as_batch


@dataclass(frozen=True)
class Recurrence(SyntheticTask):
    """Predict the next term of x_t = (a_1·x_{t−1} + … + a_k·x_{t−k}) mod m, a rule new in every example.

    k = order, m = modulus, a prime. a_1..a_{k−1} are uniform on 0..m−1 and a_k on 1..m−1; x_0..x_{k−1}
    are uniform but for all zeros, from which no rule moves. Inputs are x_0..x_{T−1}, targets[t] = x_{t+1},
    scored from t = 2k − 1 on, when 2k terms have been seen::

        inputs   x_0 ... x_{2k-2} | x_{2k-1} x_{2k}   ... x_{T-1}
        targets  ignored ...      | x_{2k}   x_{2k+1} ... x_T

    2k terms determine all that follow: the last k of them are k linear equations for the coefficients,
    generically invertible. Where they are not, several rules fit, but they agree on what follows: the
    difference of two sequences of order k has order 2k, and vanishes if its first 2k terms do.
    So every answer can be known. Since a_k is not 0 the step is a bijection of the states (k terms in a
    row) other than zero, which stay uniform: a guess is right with probability m^(k−1)/(m^k − 1).

    Args:
        length: T. order: k. modulus: m, also the size of the vocabulary.
        scored: only the last so many positions are scored; 0, all from 2k − 1 on.

    Source: Massey (1969), "Shift-register synthesis and BCH decoding", for what determines a rule;
    d'Ascoli et al. (2022), arXiv 2201.04600, for recurrences as a task.
    Raises :class:`~hmlcore.errors.HmlcoreError` for order < 1, length <= 2·order, a modulus that is
    not a prime, scored > length − 2·order + 1.
    """

    name: ClassVar[str] = "recurrence"

    length: int = 64
    order: int = 2
    modulus: int = 7
    scored: int = 0

    def __post_init__(self) -> None:
        check_fields(
            self, length=(check_int,), order=(check_int,), modulus=(check_int, 2), scored=(check_int, 0)
        )
        if not all(self.modulus % d for d in range(2, math.isqrt(self.modulus) + 1)):
            raise HmlcoreError(f"modulus must be a prime, not {self.modulus}")
        least = 2 * self.order
        require(self.length > least, f"length must exceed 2·order = {least}, not be {self.length}")
        most = self.length - least + 1
        require(
            self.scored <= most,
            f"scored must be at most length − 2·order + 1 = {most}, not {self.scored}",
        )

    @property
    def vocab_size(self) -> int:
        return self.modulus

    def conditions(self) -> dict[str, Any]:
        return {"order": self.order, "modulus": self.modulus, "length": self.length}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        k = self.order
        coefficients = rng.integers(self.modulus, size=(count, k))
        coefficients[:, -1] = rng.integers(1, self.modulus, size=count)
        terms = np.empty((count, self.length + 1), dtype=np.int64)
        terms[:, :k] = self._first(rng, count)
        for t in range(k, self.length + 1):
            newest_first = terms[:, t - k : t][:, ::-1]
            terms[:, t] = (coefficients * newest_first).sum(1) % self.modulus
        targets = terms[:, 1:].copy()
        targets[:, : self.length - self.scored if self.scored else 2 * k - 1] = IGNORE
        return as_batch(terms[:, :-1].copy(), targets)

    def _first(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """[count, k] first terms; rows of zeros are drawn again, which leaves the others uniform."""
        first = rng.integers(self.modulus, size=(count, self.order))
        while (zero := ~first.any(1)).any():
            first[zero] = rng.integers(self.modulus, size=(zero.sum(), self.order))
        return first
