"""A needle in a haystack, small enough to be learned from scratch: RULER's retrieval over single tokens."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hmlcore.checks import check_bool, check_choice, check_fields, check_int, check_number, check_optional
from hmlcore.errors import require
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, as_batch
from hmlcore.tasks.sampling import sample_without_replacement

DEPTH = (check_optional, check_number, 0, 1)  # the check of a place in a haystack
HAYSTACKS = ("random", "noise", "needles")

RULER: dict[str, dict[str, Any]] = {
    "single_1": {"haystack": "noise"},
    "single_2": {},
    "single_3": {"values": 8},
    "multikey_1": {"needles": 4},
    "multikey_2": {"haystack": "needles"},
    "multikey_3": {"haystack": "needles", "values": 8},
    "multivalue": {"values": 4, "scattered": True},
    "multiquery": {"needles": 4, "queries": 4},
}
"""RULER's retrieval settings: name → knobs of :class:`Needle`; :func:`ruler` says what they correspond to."""


@dataclass(frozen=True)
class Needle(SyntheticTask):
    """`needles` keys with their values lie in a haystack of filler; `queries` of the keys are asked for::

        inputs   f f f  k v_1 ... v_n  f f f f f f | ASK k v_1 ... v_{n−1}
        targets  ignored ...                       | .   v_1 v_2 ... v_n

    A needle is its key and `values` values in a row; `scattered`, it is `values` pairs (k, v_1), (k, v_2), …
    at places of their own, numbered in order of appearance. The value is said at the key of the question,
    and further values after the correct one before it (teacher forcing). `depth` places the needle that is
    asked for first (scattered: one of its pairs): 0 where the haystack begins, 1 where it ends, None
    uniformly at random; all others lie at random.

    haystack: ``"random"`` filler tokens; ``"noise"``, the cycle 0, 1, …, fillers − 1 over and over, which goes
    on behind a needle where it broke off; ``"needles"``, as many other needles as fit, with keys that are not
    among the `needles` keys (but may repeat among themselves), in a row. There, what is too short for one
    more needle is random filler between two of them.

    :func:`ruler` gives the settings that carry RULER's names.

    Tokens: filler 0 … fillers − 1, then `keys` key tokens, then `letters` value tokens, then ASK: keys and
    values never occur as filler. The `needles` keys of one example are distinct.
    After Hsieh et al., "RULER" (2024), arXiv 2404.06654, whose needles are English sentences.

    Raises :class:`~hmlcore.errors.HmlcoreError` for queries > needles, needles > keys, an unknown haystack,
    a depth outside [0, 1], a length that does not hold the needles and the questions, and with a haystack of
    needles for keys that leave none to it and a length without room for one.
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
    haystack: str = "random"
    scattered: bool = False

    def __post_init__(self) -> None:
        check_fields(
            self, length=(check_int,), depth=DEPTH, needles=(check_int,), values=(check_int,),
            queries=(check_int,), keys=(check_int,), letters=(check_int, 2), fillers=(check_int,),
            haystack=(check_choice, HAYSTACKS), scattered=(check_bool,),
        )  # fmt: skip
        require(
            self.queries <= self.needles,
            f"queries must be at most needles={self.needles}, not {self.queries}",
        )
        require(self.needles <= self.keys, f"needles must be at most keys={self.keys}, not {self.needles}")
        asked, others = self.queries * (1 + self.values), self.haystack == "needles"
        require(
            self.needles < self.keys or not others,
            f"keys must be more than needles={self.needles} with haystack='needles', not {self.keys}",
        )
        least = (self.pieces + others) * self.block + asked
        held = f"{self.needles} needles{' and another' if others else ''}"
        require(
            self.length >= least,
            f"length must hold {held} and {self.queries} questions of {1 + self.values} "
            f"tokens: at least {least}, not {self.length}",
        )

    @property
    def ask(self) -> int:
        """The token that announces a question."""
        return self.fillers + self.keys + self.letters

    @property
    def vocab_size(self) -> int:
        return self.ask + 1

    @property
    def asked_at(self) -> int:
        """Where the first question begins: the number of tokens of the haystack with its needles."""
        return self.length - self.queries * (1 + self.values)

    @property
    def block(self) -> int:
        """Tokens that stand together: a key with its values, or, scattered, with one of them."""
        return 2 if self.scattered else 1 + self.values

    @property
    def pieces(self) -> int:
        """How many such blocks the needles are."""
        return self.needles * (self.values if self.scattered else 1)

    def conditions(self) -> dict[str, Any]:
        shown = ("length", "depth", "needles", "values", "queries", "haystack", "scattered")
        return {name: getattr(self, name) for name in shown}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        keys = self.fillers + sample_without_replacement(rng, count, self.keys, self.needles)
        shape = (count, self.needles, self.values)
        values = self.fillers + self.keys + rng.integers(self.letters, size=shape)
        slots = self._slots(rng, count)

        inputs = rng.integers(self.fillers, size=(count, self.length))
        first = slots + slots.argsort(1).argsort(1) * (self.block - 1)
        if self.haystack == "needles":
            first = self._other_needles(rng, inputs, keys, slots)
        pieces = np.empty((count, self.pieces, self.block), dtype=np.int64)
        pieces[..., 0] = np.repeat(keys, self.pieces // self.needles, axis=1)
        pieces[..., 1:] = values.reshape(count, self.pieces, -1)
        at = first[..., None] + np.arange(self.block)
        at, pieces = at.reshape(count, -1), pieces.reshape(count, -1)
        if self.haystack == "noise":
            free = np.ones_like(inputs)
            np.put_along_axis(free, at, 0, axis=1)
            inputs = (free.cumsum(1) - 1) % self.fillers
        np.put_along_axis(inputs, at, pieces, axis=1)

        targets = np.full((count, self.length), IGNORE, dtype=np.int64)
        asked = values[:, : self.queries]
        questions = inputs[:, self.asked_at :].reshape(count, self.queries, 1 + self.values)
        questions[..., 0] = self.ask
        questions[..., 1] = keys[:, : self.queries]
        questions[..., 2:] = asked[..., :-1]
        targets[:, self.asked_at :].reshape(questions.shape)[..., 1:] = asked
        return as_batch(inputs, targets)

    def _slots(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """[count, pieces] distinct slots, that of the first needle at `depth`, a needle's pieces ascending.

        A slot is a filler token or a block shrunk to one token; slots grow again when they are filled. In
        a haystack of needles every slot is a block.
        """
        shrunk = self.asked_at - self.pieces * (self.block - 1)
        slots = self.asked_at // self.block if self.haystack == "needles" else shrunk
        drawn = sample_without_replacement(rng, count, slots, self.pieces)
        if self.depth is not None:
            wanted = round(self.depth * (slots - 1))
            # Whoever drew the wanted slot gives it to the first needle for that needle's own.
            drawn = np.where(drawn == wanted, drawn[:, :1], drawn)
            drawn[:, 0] = wanted
        return np.sort(drawn.reshape(count, self.needles, -1), axis=2).reshape(count, -1)

    def _other_needles(
        self, rng: np.random.Generator, inputs: np.ndarray, keys: np.ndarray, slots: np.ndarray
    ) -> np.ndarray:
        """Fill `inputs` with needles of other keys; where the blocks of `slots` begin.

        The tokens left over are a gap before one of the blocks, never the first.
        """
        count = len(inputs)
        blocks, left = divmod(self.asked_at, self.block)
        gap = rng.integers(1, blocks, size=(count, 1))
        others = self.fillers + rng.integers(self.keys - self.needles, size=(count, blocks))
        for taken in np.sort(keys, axis=1).T:
            others += others >= taken[:, None]  # numbers among the keys left become keys
        shape = (count, blocks, self.block - 1)
        values = self.fillers + self.keys + rng.integers(self.letters, size=shape)
        needles = np.concatenate((others[..., None], values), 2)
        slot = np.arange(blocks)
        first = slot * self.block + left * (slot >= gap)
        at = first[..., None] + np.arange(self.block)
        np.put_along_axis(inputs, at.reshape(count, -1), needles.reshape(count, -1), axis=1)
        return np.take_along_axis(first, slots, axis=1)


def ruler(kind: str, length: int, depth: float | None = None) -> Needle:
    """The setting of :data:`RULER` by its name, all over one vocabulary, so that one model can face them all.

    ===========  ==========================================================  ==============================
    kind         RULER                                                       here
    ===========  ==========================================================  ==============================
    single_1     one word and number among a few sentences said repeatedly   one needle, noise
    single_2     the same among essays                                       one needle, random filler
    single_3     a UUID as the value                                         a value of 8 letters
    multikey_1   three more needles, not asked for                           4 needles
    multikey_2   nothing but needles                                         haystack of needles
    multikey_3   nothing but needles, UUIDs as keys and values               the same, values of 8 letters
    multivalue   four needles with one key, all asked for                    4 scattered values
    multiquery   four needles, all asked for                                 4 needles, 4 questions
    ===========  ==========================================================  ==============================

    Two things are simpler than RULER's: a key is always one token (of 64), so that a long haystack of needles
    repeats keys that are not asked for; and several questions are asked one after the other.

    Raises :class:`~hmlcore.errors.HmlcoreError` for an unknown kind, and as :class:`Needle` does.
    """
    check_choice("RULER kind", kind, RULER)
    return Needle(length=length, depth=depth, keys=64, **RULER[kind])
