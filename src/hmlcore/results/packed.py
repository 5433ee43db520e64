"""Many runs in one file: each is taken out of it as it went in, columns and types included.

Rows are sorted by spec hash, and those of one run keep their order. The footer lists the runs: what is stored
is known without reading a row.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hmlcore.errors import HmlcoreError, require
from hmlcore.results.files import Part, check_runs, check_schema, reading, texts
from hmlcore.results.place import INBOX
from hmlcore.results.spec import SCHEMA

_ADVICE = "take it from version control or from a copy, or delete it and run the experiment again"


@dataclass(frozen=True)
class Footer:
    """What a packed file says of itself.

    Attributes:
        runs: spec hash → number of rows, and which of `layouts` they have; sorted.
        layouts: the columns of a run, in order: name and Arrow type.
        trace: the rows are those of traces.
    """

    runs: dict[str, tuple[int, int]]
    layouts: list[list[tuple[str, str]]]
    trace: bool


def footer(path: Path) -> Footer | None:
    """The footer of the packed file `path`, None if there is none; read again only when the file has changed.

    Raises HmlcoreError: it is corrupt, foreign, of another schema, or not a packed file.
    """
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _footer(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)


@lru_cache(maxsize=256)
def _footer(path: Path, *version: int) -> Footer:
    with reading(path, _ADVICE):
        file = pq.ParquetFile(path)
    return _parse(path, file)


def _parse(path: Path, file: pq.ParquetFile) -> Footer:
    with reading(path, _ADVICE):
        metadata, columns = texts(file.metadata.metadata), file.schema_arrow.names
        types = {field.name: str(field.type) for field in file.schema_arrow}
    check_schema(path, metadata, columns)
    kind = metadata.get("hmlcore_packed")
    require(
        kind in ("runs", "traces"),
        f"{path} has 'hmlcore_packed' {kind!r}, not runs or traces: a loose run belongs into {INBOX}",
    )
    try:
        stored = json.loads(metadata["hmlcore_runs"])
        runs = {str(digest): (int(rows), int(layout)) for digest, (rows, layout) in stored.items()}
        stored = json.loads(metadata["hmlcore_layouts"])
        layouts = [[(str(name), str(type_)) for name, type_ in layout] for layout in stored]
        for type_ in {type_ for layout in layouts for _, type_ in layout if not type_.startswith("dictionary")}:
            pa.type_for_alias(type_)
        absent = {name for _, layout in runs.values() for name, _ in layouts[layout]} - set(columns)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise HmlcoreError(f"{path}: 'hmlcore_runs' or 'hmlcore_layouts' is damaged; {_ADVICE}") from error
    require(
        not absent, f"{path}: 'hmlcore_layouts' has columns that the rows lack: {sorted(absent)}; {_ADVICE}"
    )
    # A column has the type that one of its runs has: the widest.
    known = {(name, _undictionaried(type_)) for layout in layouts for name, type_ in layout}
    odd = {name for name, type_ in types.items() if (name, _undictionaried(type_)) not in known}
    require(
        not odd,
        f"{path}: columns {sorted(odd)} are not those of 'hmlcore_layouts', or not of a type there; {_ADVICE}",
    )
    return Footer(runs, layouts, kind == "traces")


def read_packed(path: Path) -> tuple[pa.Table, Footer]:
    """The rows of a packed file, and its footer.

    Raises:
        HmlcoreError: as :func:`footer`; the rows are not those that the footer lists, or not of their specs.
        FileNotFoundError: it is gone.
    """
    with reading(path, _ADVICE):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    listed = _parse(path, file)
    with reading(path, _ADVICE):
        table = file.read()
    check_runs(path, table, {digest: rows for digest, (rows, _) in listed.runs.items()})
    return table.replace_schema_metadata(None), listed


def split(path: Path, table: pa.Table, listed: Footer, wanted: Iterable[str] | None = None) -> list[Part]:
    """The runs in a packed file that was read from `path`, or the `wanted` ones of them."""
    parts, row = [], 0
    chosen = listed.runs if wanted is None else set(wanted)
    for digest, (rows, layout) in listed.runs.items():
        if digest in chosen:
            piece = table.slice(row, rows)
            with reading(path, _ADVICE):  # a type that the values do not fit
                own = {name: _typed(piece[name], type_) for name, type_ in listed.layouts[layout]}
            parts.append(Part(digest, pa.table(own), path))
        row += rows
    return parts


def join(parts: Iterable[Part]) -> pa.Table:
    """One table of `parts`, sorted by spec hash: absent columns null, `spec` a dictionary of one text a run.

    Raises HmlcoreError: two runs give one column types that have nothing in common.
    """
    parts = sorted(parts, key=lambda part: part.digest)
    try:
        table = pa.concat_tables([part.table for part in parts], promote_options="permissive")
    except pa.ArrowException as error:
        raise HmlcoreError(
            f"results in {parts[0].path.parent} give one column several types ({error}); "
            "move the older files away and run the experiment again"
        ) from error
    specs = pa.array([part.table["spec"][0].as_py() for part in parts], pa.string())
    numbers = np.repeat(np.arange(len(parts), dtype=np.int32), [part.table.num_rows for part in parts])
    spec = pa.DictionaryArray.from_arrays(pa.array(numbers), specs)
    table = table.set_column(table.column_names.index("spec"), "spec", spec)
    return table.replace_schema_metadata(None).combine_chunks()


def packed_bytes(parts: Iterable[Part], trace: bool = False) -> tuple[bytes, pa.Table]:
    """The packed file of `parts`, and the table in it; equal parts give equal bytes, in whichever order."""
    parts = sorted(parts, key=lambda part: part.digest)
    table, layouts, runs = join(parts), {}, {}
    for part in parts:
        layout = tuple((field.name, str(field.type)) for field in part.table.schema)
        runs[part.digest] = (part.table.num_rows, layouts.setdefault(layout, len(layouts)))
    footer = {
        "hmlcore_schema": str(SCHEMA),
        "hmlcore_packed": "traces" if trace else "runs",
        "hmlcore_runs": json.dumps(runs, separators=(",", ":")),
        "hmlcore_layouts": json.dumps(list(layouts), separators=(",", ":")),
    }
    # Measured values that hardly repeat are smaller byte by byte than as a list of distinct values.
    measured = {field.name for field in table.schema if field.type == pa.float64()}
    measured = {name for name in measured if 2 * len(table[name].unique()) > table.num_rows}
    repeated: Any = [name for name in table.column_names if name not in measured]  # pyarrow says bool alone
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink, table.schema, compression="zstd", compression_level=9, write_statistics=False,
        write_page_checksum=True, use_dictionary=repeated,
        column_encoding=dict.fromkeys(measured, "BYTE_STREAM_SPLIT"),
        dictionary_pagesize_limit=1 << 26,  # all specs in one page, or they repeat
    ) as writer:  # fmt: skip
        writer.write_table(table)
        writer.add_key_value_metadata(footer)  # the schema's own metadata would be stored twice
    return sink.getvalue().to_pybytes(), table


def difference(a: pa.Table, b: pa.Table) -> str | None:
    """The first field that differs between two tables, and what each has of it; None where they are equal.

    Floating-point values are compared by their bits: NaN equals itself, and 0.0 is not -0.0.
    """
    for name in dict.fromkeys((*a.column_names, *b.column_names)):
        if name not in a.column_names or name not in b.column_names:
            return f"field {name!r} is only in the {'first' if name in a.column_names else 'second'}"
    if a.num_rows != b.num_rows:
        return f"there are {a.num_rows} rows in the first, {b.num_rows} in the second"
    for name in a.column_names:
        one, two = _plain(a[name]), _plain(b[name])
        if one.type != two.type:
            return f"field {name!r} is {one.type} in the first, {two.type} in the second"
        if not _bits(one).equals(_bits(two)):
            pairs = zip(_bits(one).to_pylist(), _bits(two).to_pylist(), strict=True)
            row = next(row for row, (x, y) in enumerate(pairs) if x != y)
            return f"field {name!r} is {one[row]} in the first, {two[row]} in the second, at row {row}"
    return None


def _plain(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


def _bits(values: pa.Array) -> pa.Array:
    return values.view(pa.int64()) if values.type == pa.float64() else values


def _undictionaried(type_: str) -> str:
    """The name of a type; of a dictionary of texts, that of its values."""
    return "string" if type_.startswith("dictionary<values=string") else type_


def _typed(column: pa.ChunkedArray, type_: str) -> pa.ChunkedArray:
    if str(column.type) == type_ or pa.types.is_dictionary(column.type):
        return column
    return column.cast(pa.type_for_alias(type_))
