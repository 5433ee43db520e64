"""Text as bytes: documents laid end to end in one array, and the on-disk cache that maps them."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hmlcore.cache import cached_file
from hmlcore.tasks.base import SPLITS
from hmlcore.tasks.records import shown

_SIZE = 8  # bytes that say how long the listing of a kept file is


@dataclass(frozen=True)
class Documents:
    """One split of a corpus.

    data: uint8 [N], all documents end to end.  offsets: int64 [documents + 1], where each begins.
    names: one per document.  digests: the SHA-256 (hex) of each document's bytes.
    """

    data: np.ndarray
    offsets: np.ndarray
    names: tuple[str, ...]
    digests: tuple[str, ...]

    @classmethod
    def of(cls, items: Iterable[tuple[str, bytes]]) -> "Documents":
        """Lay out (name, content) pairs in memory."""
        names, contents = zip(*items, strict=True)
        offsets = np.cumsum([0, *map(len, contents)], dtype=np.int64)
        data = np.frombuffer(b"".join(contents), dtype=np.uint8)
        return cls(
            data,
            offsets,
            tuple(map(shown, names)),
            tuple(hashlib.sha256(content).hexdigest() for content in contents),
        )

    def __len__(self) -> int:
        return len(self.names)

    def content(self, document: int) -> bytes:
        """The bytes of one document."""
        return self.data[self.offsets[document] : self.offsets[document + 1]].tobytes()

    def first(self, count: int) -> "Documents":
        """The first `count` documents, sharing memory."""
        ends = self.offsets[: count + 1]
        return Documents(self.data[: ends[-1]], ends, self.names[:count], self.digests[:count])


class Corpus:
    """A named text in three splits, each read when first asked for.

    `version` says in words which text this is; `sha256` fixes it to the byte.
    """

    def __init__(self, name: str, version: str, read: Callable[[str], Documents]):
        self.name = name
        self.version = version
        self._read = read
        self._splits: dict[str, Documents] = {}

    def split(self, split: str) -> Documents:
        if split not in self._splits:
            self._splits[split] = self._read(split)
        return self._splits[split]

    @property
    def sha256(self) -> str:
        """SHA-256 over split, name and content hash of every document, in order."""
        parts = [(split, self.split(split)) for split in SPLITS]
        listing = [(split, part.names, part.digests) for split, part in parts]
        return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def cached(folder: Path, key: str, produce: Callable[[], Iterable[tuple[str, bytes]]]) -> Documents:
    """The documents kept under `key` in `folder`, produced and kept there first if need be.

    One file: the content (memory-mapped on return), the listing, and the listing's size. Two writers at once
    are harmless because a key stands for one content.

    Raises :class:`~hmlcore.errors.HmlcoreError` if `folder` cannot be written.
    """
    found = cached_file(folder / f"{key}.kept", lambda: _laid_out(produce()))
    end = len(found) - int.from_bytes(found[-_SIZE:].tobytes(), "little") - _SIZE
    entry = json.loads(found[end:-_SIZE].tobytes())
    offsets = np.array(entry["offsets"], dtype=np.int64)
    return Documents(found[:end], offsets, tuple(entry["names"]), tuple(entry["digests"]))


def _laid_out(items: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    entry: dict[str, list] = {"offsets": [0], "names": [], "digests": []}
    for name, text in items:
        yield text
        entry["names"].append(shown(name))
        entry["digests"].append(hashlib.sha256(text).hexdigest())
        entry["offsets"].append(entry["offsets"][-1] + len(text))
    listing = json.dumps(entry).encode()
    yield listing
    yield len(listing).to_bytes(_SIZE, "little")
