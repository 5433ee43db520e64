"""The results store: one parquet file a run, written whole or not at all.

``<root>/<profile>/<experiment>/<first 16 digits of the spec's hash>.parquet``. Runs never share a file, so
any number of writers can work at once and version control never has a conflict to merge.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hmlcore.errors import HmlcoreError
from hmlcore.results.resultset import ResultSet, select
from hmlcore.results.run import PROVENANCE, Run
from hmlcore.results.spec import SCHEMA, check_spec, spec_hash

_TRACE = ".trace.parquet"
_DAY_S = 86_400


class Store:
    """Finished runs below `root`; nothing is created before the first write."""

    def __init__(self, root: Path | str):
        self.root = Path(root)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def path(self, spec: dict) -> Path:
        """Where the run of `spec` is, or would be."""
        check_spec(spec)
        return self._folder(spec["profile"], spec["experiment"]) / f"{spec_hash(spec)[:16]}.parquet"

    def has(self, spec: dict) -> bool:
        """Whether the run of `spec` is finished and stored."""
        return self.path(spec).is_file()

    def has_any(self, profile: str, experiment: str) -> bool:
        """Whether any run of `experiment` at `profile` is stored."""
        return bool(self._files(profile, experiment))

    def write(self, run: Run) -> Path:
        """Store `run`, replacing an earlier result of the same spec; returns its path.

        Atomic: a reader sees the old file or the new one, also when the writer is killed.

        Raises:
            HmlcoreError: a row cannot be stored, or the disk refuses (full, read-only).
        """
        path, table = self.path(run.spec), run.table()
        # The trace goes first: a run that `has` reports is complete.
        if run.trace is not None:
            _write(path.with_name(path.stem + _TRACE), run.trace_table())
        _write(path, table)
        return path

    def load(self, profile: str, experiment: str) -> ResultSet:
        """Every run of `experiment` at `profile`.

        Raises:
            HmlcoreError: there is none (the message names the command that makes it), or a file is corrupt,
                foreign, or of another schema.
        """
        files = self._files(profile, experiment)
        if not files:
            raise HmlcoreError(_missing("results", experiment, profile, self.root))
        return ResultSet(_frame(files))

    def trace(self, profile: str, experiment: str, **conditions) -> pd.DataFrame:
        """Traces of the runs that meet `conditions` (e.g. ``mixer="hml", seed=0``), one row a token."""
        files = self._files(profile, experiment, trace=True)
        if not files:
            raise HmlcoreError(_missing("traces", experiment, profile, self.root))
        found = select(_frame(files), conditions)
        if found.empty:
            raise HmlcoreError(f"no trace of {experiment!r} at profile {profile!r} with {conditions}")
        return found.reset_index(drop=True)

    def summary(self) -> pd.DataFrame:
        """What is stored: profile, experiment, number of runs, mixers and seeds (comma-separated)."""
        lines = []
        for folder in sorted(self.root.glob("*/*/")):
            profile, experiment = folder.parent.name, folder.name
            files = self._files(profile, experiment)
            if files:
                runs = _frame(files, ["mixer", "seed"])
                mixers, seeds = sorted(set(runs["mixer"])), sorted(set(runs["seed"]))
                lines.append((profile, experiment, len(files), ", ".join(mixers), ", ".join(map(str, seeds))))
        return pd.DataFrame(lines, columns=["profile", "experiment", "runs", "mixers", "seeds"])

    def _folder(self, profile: str, experiment: str) -> Path:
        return self.root / profile / experiment

    def _files(self, profile: str, experiment: str, trace: bool = False) -> list[Path]:
        found = self._folder(profile, experiment).glob("*.parquet")
        return sorted(path for path in found if path.name.endswith(_TRACE) == trace)


def _missing(what: str, experiment: str, profile: str, root: Path) -> str:
    command = f"hml run {experiment} --profile {profile}"
    return f"no {what} of {experiment!r} at profile {profile!r} in {root}; make them with: {command}"


def _write(path: Path, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_statistics=False, write_page_checksum=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clean(path.parent)
        with temporary.open("xb") as file:
            file.write(sink.getvalue())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    except OSError as error:
        reason = f"{error.strerror or error}"
        raise HmlcoreError(f"cannot write {path}: {reason}; runs already stored are safe") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _fsync_folder(folder: Path) -> None:
    """Make a rename durable; only POSIX systems let a folder be opened for this."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _clean(folder: Path) -> None:
    """Delete what killed writers left behind; a day is longer than any write."""
    for stray in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - stray.stat().st_mtime > _DAY_S:
                stray.unlink()


def _frame(files: list[Path], columns: list[str] | None = None) -> pd.DataFrame:
    """All `files` as one DataFrame: integers nullable, `spec` categorical, absent columns null."""
    tables = [_read(path, columns) for path in files]
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise HmlcoreError(
            f"results in {files[0].parent} give one column several types ({error}); "
            "move the older files away and run the experiment again"
        ) from error
    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def _read(path: Path, columns: list[str] | None) -> pa.Table:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        metadata = file.schema_arrow.metadata or {}
        stored = metadata.get(b"hmlcore_schema", b"").decode()
        digest = metadata.get(b"hmlcore_spec_hash", b"").decode()
        names = set(file.schema_arrow.names)
        if stored == str(SCHEMA):
            table = file.read(columns)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise HmlcoreError(
            f"{path} cannot be read as parquet ({str(error).splitlines()[0]}); "
            "delete it and run the experiment again"
        ) from error
    if not stored or (stored == str(SCHEMA) and not names >= PROVENANCE.keys()):
        raise HmlcoreError(f"{path} is not a result written by hmlcore; move it out of the results folder")
    if stored != str(SCHEMA):
        raise HmlcoreError(
            f"{path} has results schema {stored}, this version reads {SCHEMA}; "
            "use the hmlcore that wrote it, or delete it and run the experiment again"
        )
    # A copy under another name would count its seed twice.
    if not path.name.startswith(digest[:16] + "."):
        raise HmlcoreError(f"{path} holds run {digest[:16]}: it was renamed or copied; delete it")
    return table
