"""Addition of long numbers: an answer digit by digit, and one carry to keep."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hmlcore.checks import check_choice, check_fields, check_int
from hmlcore.errors import require
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, as_batch

LAYOUTS = ("rows", "columns")


@dataclass(frozen=True)
class Addition(SyntheticTask):
    """Say the sum c = a + b of two numbers of n = digits digits, the least significant digit first.

    Digits of a and b are uniform, leading zeros allowed, so each is uniform on 0..base^n − 1; c has the
    n + 1 digits c_0..c_n, and c_n is the last carry. In layout "rows", T = 3n + 2::

        inputs   a_0 ... a_{n-1} PLUS b_0 ... b_{n-1} | EQUALS c_0 ... c_{n-1}
        targets  ignored ...                          | c_0    c_1 ... c_n

    The correct last digit is fed back (teacher forcing), and both numbers have to be kept. In layout
    "columns", T = 2n + 1, only the carry has to be::

        inputs   a_0 b_0 a_1 b_1 ... a_{n-1} b_{n-1} | EQUALS
        targets   _  c_0  _  c_1 ...    _    c_{n-1} | c_n

    Both layouts face the same numbers. c_0..c_{n-1} are uniform on the digits; c_n is 0 or 1, and 0 a
    little more often, so guessing it is right about half the time.

    Tokens: digits 0..base−1, then PLUS, then EQUALS; the vocabulary depends on `base` alone.

    Args:
        digits: n. base: of the digits. layout: one of LAYOUTS.
        scored: only the last so many answer digits are scored; 0, all of them.

    Source: Zaremba and Sutskever (2014), arXiv 1410.4615; Lee et al. (2023), arXiv 2307.03381, for
    the reversed order, in which no digit depends on one not yet read or said.
    Raises :class:`~hmlcore.errors.HmlcoreError` for digits < 1, base < 2, an unknown layout,
    scored > digits + 1.
    """

    name: ClassVar[str] = "addition"

    digits: int = 4
    base: int = 10
    layout: str = "rows"
    scored: int = 0

    def __post_init__(self) -> None:
        check_fields(
            self,
            digits=(check_int,),
            base=(check_int, 2),
            layout=(check_choice, LAYOUTS),
            scored=(check_int, 0),
        )
        most = self.digits + 1
        require(self.scored <= most, f"scored must be at most digits + 1 = {most}, not {self.scored}")

    @property
    def plus(self) -> int:
        """The token between the numbers, in rows."""
        return self.base

    @property
    def equals(self) -> int:
        """The token that asks: in rows for the whole answer, in columns for the last carry."""
        return self.base + 1

    @property
    def vocab_size(self) -> int:
        return self.base + 2

    @property
    def length(self) -> int:
        return 3 * self.digits + 2 if self.layout == "rows" else 2 * self.digits + 1

    def conditions(self) -> dict[str, Any]:
        return {"digits": self.digits, "layout": self.layout, "length": self.length}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        n = self.digits
        a = rng.integers(self.base, size=(count, n))
        b = rng.integers(self.base, size=(count, n))
        c = add(a, b, self.base)
        answer = c.copy()
        if self.scored:
            answer[:, : n + 1 - self.scored] = IGNORE
        inputs = np.empty((count, self.length), dtype=np.int64)
        targets = np.full((count, self.length), IGNORE, dtype=np.int64)
        if self.layout == "rows":
            inputs[:, :n], inputs[:, n], inputs[:, n + 1 : 2 * n + 1] = a, self.plus, b
            inputs[:, 2 * n + 1], inputs[:, 2 * n + 2 :] = self.equals, c[:, :n]
            targets[:, 2 * n + 1 :] = answer
        else:
            inputs[:, 0:-1:2], inputs[:, 1::2], inputs[:, -1] = a, b, self.equals
            targets[:, 1::2], targets[:, -1] = answer[:, :n], answer[:, n]
        return as_batch(inputs, targets)


def add(a: np.ndarray, b: np.ndarray, base: int) -> np.ndarray:
    """[rows, n + 1] digits of a + b from [rows, n] digits of each, the least significant first.

    Digit by digit rather than by whole numbers, which would not fit an integer beyond 18 digits.
    """
    rows, n = a.shape
    c = np.empty((rows, n + 1), dtype=np.int64)
    carry = np.zeros(rows, dtype=np.int64)
    for i in range(n):
        carry, c[:, i] = np.divmod(a[:, i] + b[:, i] + carry, base)
    c[:, n] = carry
    return c
