"""Tokenised documents: kept once as Arrow, then mapped into memory.

A shard is an Arrow file, with its hash behind it: one row a document, `document` (its name) and `tokens` (a
list of integers). It appears whole or not at all, so tokenising that was interrupted goes on with the first
shard that is missing, and a reader of many gigabytes holds in memory only the pages that it touches.
"""

import hashlib
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from hmlcore import paths
from hmlcore.cache import cached_file
from hmlcore.tasks.bpe import Tokenizer
from hmlcore.tasks.documents import Documents

SHARD_BYTES = 16 * 2**20  # of text; a document is never split over two
_LAYOUT = 1


class Tokens:
    """The documents of a split as tokens: `names` and `sizes` (int64, tokens of each), ``tokens[i]`` a view."""

    def __init__(self, names: tuple[str, ...], documents: list[np.ndarray]):
        self.names = names
        self._documents = documents
        self.sizes = np.array([len(d) for d in documents], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, document: int) -> np.ndarray:
        return self._documents[document]

    def cut(self, document: int, start: int, length: int) -> np.ndarray:
        """[length] tokens of a document from `start`, as int64."""
        return self._documents[document][start : start + length].astype(np.int64)


def tokenised(documents: Documents, tokenizer: Tokenizer, label: str = "text") -> Tokens:
    """`documents` as tokens of `tokenizer`; bytes are viewed where they are, other tokens kept in shards.

    Raises: HmlcoreError where the cache cannot be written, naming it.
    """
    if tokenizer.name == "bytes":
        bounds = zip(documents.offsets[:-1], documents.offsets[1:], strict=True)
        return Tokens(documents.names, [documents.data[a:b] for a, b in bounds])
    key = json.dumps([_LAYOUT, SHARD_BYTES, tokenizer.sha256, documents.digests])
    folder = paths.cache() / "tokens" / hashlib.sha256(key.encode()).hexdigest()[:24]
    parts = _parts(np.diff(documents.offsets))
    tokens: list[np.ndarray] = []
    for number, part in enumerate(tqdm(parts, f"tokens of {label}", disable=None, unit="shard", delay=1)):
        tokens += _shard(folder / f"{number:05d}.kept", documents, part, tokenizer)
    return Tokens(documents.names, tokens)


def _parts(sizes: np.ndarray) -> list[range]:
    """Documents in order, as many to a shard as fit its size; one that is larger has a shard of its own."""
    parts, first, filled = [], 0, 0
    for number, size in enumerate(sizes):
        if filled and filled + size > SHARD_BYTES:
            parts.append(range(first, number))
            first, filled = number, 0
        filled += size
    return [*parts, range(first, len(sizes))]


def _shard(file: Path, documents: Documents, part: range, tokenizer: Tokenizer) -> list[np.ndarray]:
    """The documents `part` as tokens, mapped from `file`, which is made first if need be."""
    found = cached_file(file, lambda: [_encoded(documents, part, tokenizer)])
    column = pa.ipc.open_file(pa.py_buffer(found)).get_batch(0).column("tokens")
    values, offsets = column.values.to_numpy(zero_copy_only=True), column.offsets.to_numpy()
    return [values[a:b] for a, b in itertools.pairwise(offsets)]


def _encoded(documents: Documents, part: range, tokenizer: Tokenizer) -> pa.Buffer:
    encoded = [tokenizer.encode(documents.content(number)) for number in part]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(encoded)))
    names = pa.array([documents.names[number] for number in part])
    table = pa.table({"document": names, "tokens": lists}).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
