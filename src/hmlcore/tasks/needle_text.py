"""A needle in a haystack of text, for models that read bytes: RULER's retrieval in English sentences."""

import functools
import itertools
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from hmlcore.checks import check_choice, check_fields, check_int, check_optional, check_text
from hmlcore.errors import require, unknown
from hmlcore.tasks.base import IGNORE, Batch, Task, as_batch, check_batch, generator
from hmlcore.tasks.bytes import Bytes
from hmlcore.tasks.corpora import NAMES
from hmlcore.tasks.needle import DEPTH
from hmlcore.tasks.needle_words import NEEDLE, NOISE, QUESTION, QUESTION_OF_ALL, word_keys
from hmlcore.tasks.records import kind

KEYS = word_keys()
NEAR = 0.05  # of the haystack: how far from its depth a needle may lie for the sake of a whole sentence


class Form(NamedTuple):
    """How many keys there are, how many values each has, how many are asked for, and of which sorts."""

    needles: int = 1
    values: int = 1
    queries: int = 1
    sort: str = "number"
    key: str = "words"
    haystack: str = "corpus"


FORMS = {
    "single_1": Form(haystack="noise"),
    "single_2": Form(),
    "single_3": Form(sort="uuid"),
    "multikey_1": Form(needles=4),
    "multikey_2": Form(haystack="needles"),
    "multikey_3": Form(haystack="needles", sort="uuid", key="uuid"),
    "multivalue": Form(values=4),
    "multiquery": Form(needles=4, queries=4),
}


@dataclass(frozen=True)
class NeedleText(Task):
    """Say what a sentence somewhere in a long text said::

        … green. The sky is blue. One of the special magic numbers for calm-otter is: 5270148. The sun is …
        What is the special magic number for calm-otter mentioned in the text? It is 5270148

    A token is a byte. Inputs are `length` bytes of such a text; targets are the next bytes, scored at the
    bytes of the asked values alone (teacher forcing). Further questions follow behind ". "; several values of
    one key are asked for in one question, in order of appearance, with ", " (not scored) between them.

    kind: RULER's name of the setting (:data:`FORMS`): ``single_1`` lies in RULER's noise, ``single_2`` in
    text, ``single_3`` has a UUID for a value, ``multikey_1`` three more needles, ``multikey_2`` a haystack of
    needles with other keys (which may repeat among themselves), ``multikey_3`` one with UUIDs as keys and
    values, ``multivalue`` four values of one key, ``multiquery`` four keys that are all asked for.
    Numbers have `digits` digits, the first not 0.

    depth: where the needle that is asked for first lies (multivalue: one of its four): 0 at the very
    beginning, 1 right before the question, between them where a sentence ends nearest to that part of the
    haystack (:func:`boundary`); None, and all other needles: uniformly at random.

    corpus: the text, as for :class:`~hmlcore.tasks.bytes.Bytes` (with `books`): the haystack is cut from the
    window of the split that ``bytes`` has under this number. Or ``"filler"``, the noise, which needs no data
    and is the only one for the three kinds that bring their own haystack. First and last words may be cut. No
    key of an example occurs in its haystack of text.

    Raises :class:`~hmlcore.errors.HmlcoreError` for an unknown kind or corpus, a corpus with a kind that
    takes none, a depth outside [0, 1], a length too short for the needles and questions with the longest
    keys, and when the first batch is asked for as ``bytes`` does.
    After Hsieh et al., "RULER" (2024), arXiv 2404.06654.
    """

    name: ClassVar[str] = "needle_text"
    vocab_size: ClassVar[int] = 256

    length: int = 1024
    depth: float | None = None
    kind: str = "single_1"
    corpus: str = "filler"
    digits: int = 7
    books: int | None = None

    def __post_init__(self) -> None:
        check_fields(
            self, length=(check_int,), depth=DEPTH, kind=(check_choice, FORMS), corpus=(check_text,),
            digits=(check_int,), books=(check_optional, check_int),
        )  # fmt: skip
        filler = self._source is None  # what a source refuses is refused here
        require(
            filler or self.form.haystack == "corpus",
            f"corpus must be 'filler' with kind={self.kind!r}, which has its own haystack, not {self.corpus!r}",
        )
        least = self._least()
        require(
            self.length >= least,
            f"length must hold the needles and questions of kind={self.kind!r}: at least {least} bytes, "
            f"not {self.length}",
        )

    def _least(self) -> int:
        form = self.form
        key = "-" * (36 if form.key == "uuid" else max(map(len, KEYS)))
        value = "-" * (36 if form.sort == "uuid" else self.digits)
        sentences = form.needles * form.values + (form.haystack == "needles")
        asked = self._questions([key] * form.queries, [[value] * form.values] * form.queries)
        return sentences * len(self._needle(key, value)) + sum(len(text) for text, _ in asked)

    @property
    def form(self) -> Form:
        """What the kind means."""
        return FORMS[self.kind]

    def conditions(self) -> dict[str, Any]:
        corpus = "filler" if self._source is None else self._source.conditions()["corpus"]
        shown = ("length", "depth", "kind", "digits")
        return {name: getattr(self, name) for name in shown} | {"corpus": corpus}

    def provenance(self) -> dict[str, str]:
        return {} if self._source is None else self._source.provenance()

    @functools.cached_property
    def _source(self) -> Bytes | None:
        """Where prose is read: windows of `length` bytes; None with the filler.

        Raises :class:`~hmlcore.errors.HmlcoreError` for a corpus and books that mean nothing.
        """
        if self.corpus == "filler":
            require(self.books is None, f"books={self.books} applies to corpus 'pg19' only, not to 'filler'")
            return None
        named = self.corpus in NAMES or self.corpus.startswith("folder:")
        if not named and kind(Path(self.corpus)) != "a folder":
            raise unknown("corpus", self.corpus, (*NAMES, "filler"))
        return Bytes(self.corpus, self.length, self.books)

    def batch(self, split: str, index: int, batch_size: int, seed: int) -> Batch:
        check_batch(split, index, batch_size, seed)
        if split == "train":
            streams = [generator(self.name, split, seed, index)] * batch_size
        else:  # example number e is the same whatever batch size it is read with
            first = index * batch_size
            streams = [generator(self.name, split, 0, first + i) for i in range(batch_size)]
        if self._source is None:
            prose = [(NOISE * (self.length // len(NOISE) + 1)).encode()[: self.length]] * batch_size
        else:
            windows = self._source.batch(split, index, batch_size, seed).inputs
            prose = [row.tobytes() for row in windows.numpy().astype(np.uint8)]
        drawn = [self._example(*given) for given in zip(streams, prose, strict=True)]
        text = np.stack([np.frombuffer(text, np.uint8) for text, _ in drawn]).astype(np.int64)
        targets = np.where(np.stack([scored for _, scored in drawn]), text, IGNORE)
        return as_batch(text[:, :-1].copy(), targets[:, 1:].copy())

    def _example(self, rng: np.random.Generator, prose: bytes) -> tuple[bytes, np.ndarray]:
        """A text of length + 1 bytes, and which of them are scored."""
        form = self.form
        keys = self._keys(rng, prose)
        values = [[self._value(rng) for _ in range(form.values)] for _ in keys]
        places = rng.random((form.needles, form.values))
        if self.depth is not None:
            places[0, 0] = self.depth
        places.sort(1)  # a key's values are numbered in order of appearance
        needles = [
            (places[i, j], self._needle(key, value))
            for i, key in enumerate(keys)
            for j, value in enumerate(values[i])
        ]
        needles.sort(key=lambda needle: needle[0])
        asked = self._questions(keys[: form.queries], values[: form.queries])
        taken = sum(len(needle) for _, needle in needles) + sum(len(text) for text, _ in asked)
        hay = self._haystack(rng, prose, keys, self.length + 1 - taken)
        near = 1.0 if form.haystack == "needles" else NEAR  # no needle is put inside another
        parts, done = [], 0
        for place, needle in needles:
            at = boundary(hay, place * len(hay), near)
            parts += [hay[done:at], needle]
            done = at
        text = b"".join([*parts, hay[done:]])
        scored = np.concatenate([np.zeros(len(text), bool), *(np.full(len(t), s) for t, s in asked)])
        return text + b"".join(text for text, _ in asked), scored

    def _needle(self, key: str, value: str) -> bytes:
        return NEEDLE.format(sort=self.form.sort, key=key, value=value).encode()

    def _questions(self, keys: list[str], values: list[list[str]]) -> list[tuple[bytes, bool]]:
        """The questions with their answers in pieces, each with whether it is scored."""
        ask = QUESTION if self.form.values == 1 else QUESTION_OF_ALL
        parts = []
        for key, said in zip(keys, values, strict=True):
            parts += [(". " if parts else "") + ask.format(sort=self.form.sort, key=key), said[0]]
            for value in said[1:]:
                parts += [", ", value]
        return [(part.encode(), i % 2 == 1) for i, part in enumerate(parts)]

    def _keys(self, rng: np.random.Generator, prose: bytes) -> list[str]:
        """Distinct keys that do not occur in `prose`."""
        if self.form.key == "uuid":
            return [_uuid(rng) for _ in range(self.form.needles)]
        free = (KEYS[i] for i in rng.permutation(len(KEYS)) if KEYS[i].encode() not in prose)
        keys = list(itertools.islice(free, self.form.needles))
        require(len(keys) == self.form.needles, f"corpus {self.corpus!r} holds all keys of needles")
        return keys

    def _value(self, rng: np.random.Generator) -> str:
        if self.form.sort == "uuid":
            return _uuid(rng)
        return str(rng.integers(1, 10)) + "".join(map(str, rng.integers(10, size=self.digits - 1)))

    def _haystack(self, rng: np.random.Generator, prose: bytes, keys: list[str], size: int) -> bytes:
        """`size` bytes, the last a space."""
        if self.form.haystack != "needles":
            return prose[: size - 1] + b" "
        parts: list[bytes] = []
        while size > 0:
            key = _uuid(rng) if self.form.key == "uuid" else KEYS[rng.integers(len(KEYS))]
            if key in keys:
                continue
            needle = self._needle(key, self._value(rng))
            if len(needle) > size:
                parts.append(prose[: size - 1] + b" ")
                break
            parts.append(needle)
            size -= len(needle)
        return b"".join(parts)


_SENTENCE = re.compile(rb"[.!?](?:[\"')]|\xe2\x80\x9d)*\s+")
_SPACE = re.compile(rb"\s+")


def boundary(text: bytes, wanted: float, near: float = NEAR) -> int:
    """Where in `text` a sentence can be put in, nearest to position `wanted`: 0, len(text) or behind a space.

    That is the nearest end of a sentence, and if that is further away than the part `near` of the text, the
    nearest end of a word. It never falls as `wanted` grows.
    """
    at = _nearest(_SENTENCE, text, wanted)
    return at if abs(at - wanted) <= near * len(text) else _nearest(_SPACE, text, wanted)


def _nearest(pattern: re.Pattern[bytes], text: bytes, wanted: float) -> int:
    ends = [0, *(found.end() for found in pattern.finditer(text)), len(text)]
    return min(ends, key=lambda end: abs(end - wanted))


def _uuid(rng: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))
