"""Copy: keep a short message through a silence, then say it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hmlcore.checks import check_choice, check_fields, check_int
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, as_batch

CUES = ("blank", "previous")


@dataclass(frozen=True)
class Copy(SyntheticTask):
    """Remember `payload` symbols over `delay` blanks. Load and lag are separate knobs.

    With K = payload, D = delay, symbols x_1..x_K uniform on `alphabet` letters, and T = 2K + D::

        inputs   x_1 ... x_K | blank × D | GO  blank ... blank      (cue = "blank")
                                         | GO  x_1   ... x_{K-1}    (cue = "previous")
        targets  ignored ...             | x_1 x_2   ... x_K

    So the memory load is K·log2(alphabet) bits whatever the delay, and exactly K positions are scored,
    the first of them at GO. With cue "previous" the correct last symbol is fed back (teacher forcing),
    which turns recall by position into recall by continuation.

    Tokens: letters 0..alphabet−1, then blank, then GO; the vocabulary depends on `alphabet` alone.
    After Hochreiter and Schmidhuber (1997) and Arjovsky, Shah and Bengio (2016), whose layout ties the
    payload to a fixed ten symbols.

    Raises :class:`~hmlcore.errors.HmlcoreError` for payload < 1, delay < 0, alphabet < 2, unknown cue.
    """

    name: ClassVar[str] = "copy"

    payload: int = 8
    delay: int = 32
    alphabet: int = 8
    cue: str = "blank"

    def __post_init__(self) -> None:
        check_fields(
            self, payload=(check_int,), delay=(check_int, 0), alphabet=(check_int, 2), cue=(check_choice, CUES)
        )

    @property
    def blank(self) -> int:
        """The token of silence."""
        return self.alphabet

    @property
    def go(self) -> int:
        """The token that asks for the answer."""
        return self.alphabet + 1

    @property
    def vocab_size(self) -> int:
        return self.alphabet + 2

    @property
    def length(self) -> int:
        return 2 * self.payload + self.delay

    def conditions(self) -> dict[str, Any]:
        return {"payload": self.payload, "delay": self.delay}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        symbols = rng.integers(self.alphabet, size=(count, self.payload))
        answer = self.payload + self.delay
        inputs = np.full((count, self.length), self.blank, dtype=np.int64)
        inputs[:, : self.payload] = symbols
        inputs[:, answer] = self.go
        if self.cue == "previous":
            inputs[:, answer + 1 :] = symbols[:, :-1]
        targets = np.full((count, self.length), IGNORE, dtype=np.int64)
        targets[:, answer:] = symbols
        return as_batch(inputs, targets)
