"""Facts planted in a stream and asked for much later, by their cue and never by the answer: honest recall."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from hmlcore.checks import check_bool, check_choice, check_fields, check_int, check_tuple
from hmlcore.errors import require
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, as_batch, check_batch, generator

WIDTHS = {"rare": 1, "common": 1, "semantic": 1, "dictionary": 4, "uuid": 8}
"""Kind of fact → tokens of its answer."""
MARK, ASK, WORDS = 0, 1, 2
_PAD = 2  # words of filler before each fact and each question
_HEX = 16


class Drawn(NamedTuple):
    """A batch and where its questions are: of F facts each."""

    inputs: np.ndarray  # [B, T]
    targets: np.ndarray  # [B, T], of answers alone
    kind: np.ndarray  # [B, F], place in the task's kinds
    cue: np.ndarray  # [B, F, 2], as planted
    answer: np.ndarray  # [B, F, 8], IGNORE behind its end
    at: np.ndarray  # [B, F], where the first answer is to be said


@dataclass(frozen=True)
class Planted(SyntheticTask):
    """`facts` facts of each kind, and `distance` tokens after each its question::

        inputs   … w w MARK c d a …  (filler)  … w w ASK c d a …
        targets                                        a .

    A cue (c, d) is two words, no two facts of a row share one; it is asked for in other company, and the answer
    is not among what is asked with. Answers of several tokens are given back after each (teacher forcing), so
    that all right is the same as writing them down. Kinds, and what an answer is:

    ==========  =====================================================================
    rare        a word of the vocabulary's rarest eighth
    common      a word of its most common eighth
    semantic    a rare word, asked for by the synonyms of both words of the cue
    dictionary  a definition of four words of which no cue is made
    uuid        eight of sixteen such words, which stand for hexadecimal digits
    ==========  =====================================================================

    Words are ids 2 … vocab − 1, the most frequent first. 2i and 2i + 1 are synonyms: filler takes either, as
    likely. Filler is a chain that anyone can learn in part: after w comes, half of the time, one of the two
    synonyms of one meaning that w always has for successor, else a word by Zipf's law. Cues are of the half of
    the words that is neither common nor rare.

    With `filler_scored`, every next token is a target, as a language model is trained; else answers alone.
    Raises HmlcoreError for a distance that does not hold the facts, and a vocabulary without enough cues.
    """

    name: ClassVar[str] = "planted"

    kinds: tuple[str, ...] = tuple(WIDTHS)
    facts: int = 2
    distance: int = 256
    vocab: int = 512
    filler_scored: bool = False

    def __post_init__(self) -> None:
        check_fields(
            self, kinds=(check_tuple, check_choice, tuple(WIDTHS)), facts=(check_int,), distance=(check_int,),
            vocab=(check_int, 64), filler_scored=(check_bool,),
        )  # fmt: skip
        require(len(self.kinds) > 0, "kinds must not be empty")
        require(len(set(self.kinds)) == len(self.kinds), f"kinds must be named once each, got {self.kinds}")
        require(self.vocab % 16 == 0, f"vocab must be a multiple of 16, got {self.vocab}")
        require(
            self.distance >= self.block,
            f"distance must hold the facts, at least {self.block} tokens, got {self.distance}",
        )
        pairs = (self.cues // 2) ** 2
        wanted = self.facts * len(self.kinds)
        require(wanted <= pairs, f"facts must be at most {pairs // len(self.kinds)} a kind, got {self.facts}")

    @property
    def vocab_size(self) -> int:
        return self.vocab

    @property
    def cues(self) -> int:
        """How many words cues are made of, an even number."""
        return self.vocab // 2

    @property
    def block(self) -> int:
        """Tokens that all facts take, and all questions."""
        return self.facts * sum(_PAD + 3 + WIDTHS[kind] for kind in self.kinds)

    @property
    def length(self) -> int:
        return self.distance + self.block

    def conditions(self) -> dict[str, Any]:
        return {"distance": self.distance, "facts": self.facts * len(self.kinds)}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        drawn = self.draw(rng, count)
        if not self.filler_scored:
            return as_batch(drawn.inputs, drawn.targets)
        after = np.concatenate((drawn.inputs[:, 1:], np.full((count, 1), IGNORE)), 1)
        return as_batch(drawn.inputs, np.where(drawn.targets == IGNORE, after, drawn.targets))

    def questions(self, split: str, index: int) -> Drawn:
        """One row, number `index` of `split`, with all that is known of it."""
        check_batch(split, index, 1, 0)
        return self.draw(generator(self.name, split, 0, index), 1)

    def draw(self, rng: np.random.Generator, count: int) -> Drawn:
        """`count` rows."""
        total = self.facts * len(self.kinds)
        kind = np.tile(np.repeat(np.arange(len(self.kinds)), self.facts), (count, 1))
        kind = rng.permuted(kind, axis=1)
        half = self.cues // 2  # meanings, of two words each
        code = np.stack([rng.choice(half**2, total, replace=False) for _ in range(count)])
        first = (self.vocab // 8) + 2 * np.stack((code // half, code % half), -1)
        cue = first + rng.integers(2, size=first.shape)
        named = np.array([self.kinds.index("semantic") if "semantic" in self.kinds else -1])
        asked = np.where((kind == named)[..., None], cue ^ 1, cue)
        answer = self._answers(rng, kind)
        width = np.array([WIDTHS[k] for k in self.kinds])[kind]
        inputs = self._filler(rng, count)
        targets = np.full_like(inputs, IGNORE)
        ends = (_PAD + 3 + width).cumsum(1)
        begins = ends - width - 3
        rows = np.arange(count)[:, None]
        for place, words, mark in ((begins, cue, MARK), (begins + self.distance, asked, ASK)):
            inputs[rows, place] = mark
            inputs[rows, place + 1], inputs[rows, place + 2] = words[..., 0], words[..., 1]
            for i in range(max(WIDTHS.values())):
                row, fact = (i < width).nonzero()
                inputs[row, place[row, fact] + 3 + i] = answer[row, fact, i]
        at = begins + self.distance + 2
        for i in range(max(WIDTHS.values())):
            row, fact = (i < width).nonzero()
            targets[row, at[row, fact] + i] = answer[row, fact, i]
        return Drawn(inputs, targets, kind, cue, answer, at)

    def _answers(self, rng: np.random.Generator, kind: np.ndarray) -> np.ndarray:
        """[B, F, 8], IGNORE behind the end of an answer."""
        eighth, rest = self.vocab // 8, 5 * self.vocab // 8
        answer = np.full((*kind.shape, max(WIDTHS.values())), IGNORE)
        pools = {
            "rare": (self.vocab - eighth, self.vocab), "semantic": (self.vocab - eighth, self.vocab),
            "common": (WORDS, eighth), "dictionary": (rest, self.vocab - eighth), "uuid": (rest, rest + _HEX),
        }  # fmt: skip
        for number, name in enumerate(self.kinds):
            low, high = pools[name]
            drawn = rng.integers(low, high, size=(*kind.shape, WIDTHS[name]))
            answer[..., : WIDTHS[name]] = np.where(
                (kind == number)[..., None], drawn, answer[..., : WIDTHS[name]]
            )
        return answer

    def _filler(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """[B, T] words of the chain."""
        words, length = self.vocab - WORDS, self.length
        chance = 1 / np.arange(1, words // 2 + 1)
        edges = (chance / chance.sum()).cumsum()
        meaning = np.minimum(edges.searchsorted(rng.random((count, length))), words // 2 - 1)
        follows, synonym = rng.random((count, length)) < 0.5, rng.integers(2, size=(count, length))
        successor = np.random.default_rng(0).permutation(words // 2)  # one language for everybody
        # Where a word follows, its meaning is that of the last drawn one, moved on as often as words followed.
        number = np.arange(length)
        last = np.maximum.accumulate(np.where(follows & (number > 0), 0, number), axis=1)
        steps = number - last
        meaning = np.take_along_axis(meaning, last, axis=1)
        moved, longest = meaning, int(steps.max())
        for step in range(1, longest + 1):
            moved = np.where(steps >= step, successor[moved], moved)
        return WORDS + 2 * moved + synonym

    def chance(self, kind: str) -> float:
        """How often a guess within the right pool hits the whole answer."""
        eighth = self.vocab // 8
        pool = {"common": eighth - WORDS, "dictionary": self.vocab // 4, "uuid": _HEX}.get(kind, eighth)
        return float(pool) ** -WIDTHS[kind]
