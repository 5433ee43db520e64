"""One file of results, read with everything checked that can be."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hmlcore.errors import HmlcoreError, require
from hmlcore.results.place import loose_name, unclaimed
from hmlcore.results.run import PROVENANCE
from hmlcore.results.spec import SCHEMA

_AGAIN = "delete it and run the experiment again"
_UNSEALED = "0" * 64
_CHANGED = "the file was changed: take it from where it came from"


@dataclass(frozen=True)
class Part:
    """One run, or its trace, and the file that it was read from.

    Attributes:
        digest: its spec hash.
        table: its rows.
        path: the file.
        replaces: it was measured anew, and wins over what is packed.
        content: SHA-256 of the file, where it holds nothing else.
    """

    digest: str
    table: pa.Table
    path: Path
    replaces: bool = False
    content: str = ""


def loose_bytes(table: pa.Table, *, trace: bool = False, replaces: bool = False) -> bytes:
    """The file of one run's table, or of its trace; `replaces` marks it as measured anew.

    It carries the SHA-256 of all its bytes, taken with zeros where the hash then stands.
    """
    marks = {b"hmlcore_trace": trace, b"hmlcore_replaces": replaces}
    marks = {key: b"yes" for key, holds in marks.items() if holds}
    table = table.replace_schema_metadata({**table.schema.metadata, **marks})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink, table.schema, compression="zstd", write_statistics=False, write_page_checksum=True
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"hmlcore_sha256": _UNSEALED})
    content = sink.getvalue().to_pybytes()
    before, after = content.rsplit(_UNSEALED.encode(), 1)
    return before + hashlib.sha256(content).hexdigest().encode() + after


def read_loose(path: Path) -> Part:
    """The run, or trace, in a loose file.

    Raises:
        HmlcoreError: it is corrupt, foreign, of another schema or under another name, or its spec was changed.
        FileNotFoundError: it is gone, as a packer deletes what it has packed.
    """
    with reading(path, _AGAIN):
        content = path.read_bytes()
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        metadata, columns = texts(file.metadata.metadata), file.schema_arrow.names
    if "hmlcore_packed" in metadata:
        raise HmlcoreError(
            f"{path} holds packed runs, among loose ones; hml pack EXPERIMENT --with takes them in"
        )
    check_schema(path, metadata, columns)
    stored = metadata.get("hmlcore_sha256", "")
    unsealed = content.replace(stored.encode(), _UNSEALED.encode()) if stored else content
    if hashlib.sha256(unsealed).hexdigest() != stored:
        raise HmlcoreError(f"{path} cannot be read: its content is not of the hash that it carries; {_AGAIN}")
    digest = metadata.get("hmlcore_spec_hash", "")
    # A copy under another name would count its seed twice.
    trace = "hmlcore_trace" in metadata
    if loose_name(digest, trace) not in (path.name, unclaimed(path).name):
        what = f"the trace of run {digest[:16]}" if trace else f"run {digest[:16]}"
        raise HmlcoreError(f"{path} holds {what}: it was renamed or copied; delete it")
    with reading(path, _AGAIN):
        table = file.read()
    check_runs(path, table, {digest: table.num_rows})
    return Part(digest, table, path, "hmlcore_replaces" in metadata, hashlib.sha256(content).hexdigest())


def check_schema(path: Path, metadata: Mapping[str, str], columns: list[str]) -> None:
    """Raise HmlcoreError unless `metadata` says that hmlcore wrote `path`, and in this version's schema."""
    stored = metadata.get("hmlcore_schema", "")
    if not stored or (stored == str(SCHEMA) and not set(columns) >= PROVENANCE.keys()):
        raise HmlcoreError(f"{path} is not a result written by hmlcore; move it out of the results folder")
    if stored != str(SCHEMA):
        raise HmlcoreError(
            f"{path} has results schema {stored}, this version reads {SCHEMA}; "
            "use the hmlcore that wrote it, or delete it and run the experiment again"
        )


def check_runs(path: Path, table: pa.Table, listed: Mapping[str, int]) -> None:
    """Raise HmlcoreError unless `table` has the rows `listed` by spec hash, in that order, each run with the
    spec that its hash is of."""
    digests, at = _stretches(table["spec_hash"])
    found = list(zip(digests, np.diff([*at, table.num_rows]).tolist(), strict=True))
    for (digest, rows), (other, wanted) in zip(found, listed.items(), strict=False):
        require(
            (digest, rows) == (other, wanted),
            f"{path}: column 'spec_hash' has {rows} rows of run {str(digest)[:16]} where the footer lists "
            f"{wanted} of run {other[:16]}; {_CHANGED}",
        )
    require(
        len(found) == len(listed),
        f"{path}: column 'spec_hash' has {len(found)} runs where the footer lists {len(listed)}; {_CHANGED}",
    )
    specs, begins = _stretches(table["spec"])
    for text, row in zip(specs, begins, strict=True):
        digest, own = digests[bisect_right(at, row) - 1], hashlib.sha256((text or "").encode()).hexdigest()
        require(
            own == digest,
            f"{path}: column 'spec' of run {digest[:16]} has a spec of hash {own[:16]}; {_CHANGED}",
        )
    require(begins == at, f"{path}: column 'spec' does not change where 'spec_hash' does; {_CHANGED}")


def _stretches(column: pa.ChunkedArray) -> tuple[list, list[int]]:
    """The values of a column of texts, equal neighbours once, and the row at which each begins."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    at = np.flatnonzero(np.diff(codes, prepend=codes[:1] - 1)).tolist() if len(codes) else []
    values = encoded.dictionary.to_pylist()
    return [values[code] if code >= 0 else None for code in codes[at]], at


@contextmanager
def reading(path: Path, advice: str) -> Iterator[None]:
    """Turn what parquet has to say of `path` into an HmlcoreError with `advice`."""
    try:
        yield
    except (FileNotFoundError, HmlcoreError):
        raise
    # Of a damaged file, pyarrow hands on names that are no text, and numbers that are too large.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise HmlcoreError(
            f"{path} cannot be read as parquet ({str(error).splitlines()[0]}); {advice}"
        ) from error


def texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """Parquet's metadata of ours, as text."""
    ours = {key: value for key, value in (metadata or {}).items() if key.startswith(b"hmlcore_")}
    return {key.decode(): value.decode() for key, value in ours.items()}
