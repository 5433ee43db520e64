"""Byte-level language modelling: say the next byte of real text."""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hmlcore.checks import check_fields, check_int, check_optional
from hmlcore.tasks.base import Batch, Task, as_batch, check_batch, generator
from hmlcore.tasks.corpora import check_corpus, label, open_corpus
from hmlcore.tasks.documents import Corpus, Documents
from hmlcore.tasks.windows import Windows, windows_of


@dataclass(frozen=True)
class Bytes(Task):
    """Next-byte prediction over windows of `length` bytes, every position scored.

    A window is length + 1 bytes inside one document, so no window ever crosses from one document (a
    source file, a book) into another; inputs are its first `length` bytes, targets its last. Documents
    of `length` bytes or fewer give no window. Loss in nats divided by ln 2 is bits per byte.

    Training windows are uniform over all start positions of the split (a document's share is its number
    of positions), keyed on (seed, index). Validation and test windows are fixed: documents are tiled so
    that no byte is a target twice, and the tiles are visited in an order whose every prefix is spread
    evenly over the split. When all tiles have been visited the tiling starts over, shifted.

    corpus: ``"stdlib"``, ``"pg19"``, ``"folder:<path>"`` or the path of an existing folder
    (:mod:`hmlcore.tasks.corpora`).  books: with ``"pg19"``, train on the first so many books only; where
    the books come from the hub it also bounds the download (all of them are 11.7 GB).

    Raises :class:`~hmlcore.errors.HmlcoreError` for length < 1 and an unknown corpus at once, and when
    the first batch is asked for: for a source that is missing or empty, and for a split without one
    document longer than `length`.
    """

    name: ClassVar[str] = "bytes"
    vocab_size: ClassVar[int] = 256

    corpus: str = "stdlib"
    length: int = 256
    books: int | None = None

    def __post_init__(self) -> None:
        check_fields(self, length=(check_int,), books=(check_optional, check_int))
        check_corpus(self.corpus, self.books)

    def conditions(self) -> dict[str, Any]:
        return {"corpus": label(self.corpus), "context": self.length}

    def provenance(self) -> dict[str, str]:
        opened = self._corpus
        return {"corpus": opened.name, "data_version": opened.version, "data_sha256": opened.sha256}

    def documents(self, split: str) -> Documents:
        """The documents of one split, for those who want to look at the text itself."""
        return self._corpus.split(split)

    def batch(self, split: str, index: int, batch_size: int, seed: int) -> Batch:
        starts = self.places(split, index, batch_size, seed)
        read = self.documents(split).data[starts[:, None] + np.arange(self.length + 1)].astype(np.int64)
        return as_batch(read[:, :-1].copy(), read[:, 1:].copy())

    def places(self, split: str, index: int, batch_size: int, seed: int) -> np.ndarray:
        """[B] where the rows of that batch begin, in bytes of the split's documents, one after another."""
        check_batch(split, index, batch_size, seed)
        windows = self._windows(split)
        if split == "train":
            document, place = windows.uniform(generator(self.name, split, seed, index), batch_size)
        else:
            document, place = windows.spread(index * batch_size, batch_size)
        return self.documents(split).offsets[document] + place

    @functools.cached_property
    def _corpus(self) -> Corpus:
        return open_corpus(self.corpus, self.books)

    @functools.cached_property
    def _opened(self) -> dict[str, Windows]:
        return {}

    def _windows(self, split: str) -> Windows:
        if split not in self._opened:
            documents, place = self.documents(split), f"the {split} split of corpus {label(self.corpus)!r}"
            sizes = np.diff(documents.offsets)
            self._opened[split] = windows_of(sizes, documents.names, self.length, "bytes", place)
        return self._opened[split]
