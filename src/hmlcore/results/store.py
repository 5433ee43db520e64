"""The results store: a file a run while runs are made, a file an experiment once they are packed.

Where the files lie is said in :mod:`hmlcore.results.place`. Loose runs never share a file, so any number of
writers can work at once; :func:`hmlcore.results.pack.pack` puts them into the one file that is committed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from hmlcore.errors import HmlcoreError, require
from hmlcore.files import write_file
from hmlcore.results.claims import claimed
from hmlcore.results.files import loose_bytes
from hmlcore.results.merge import gather, table_of
from hmlcore.results.packed import footer, join
from hmlcore.results.place import Place, digits_of, loose_name, places
from hmlcore.results.run import Run
from hmlcore.results.spec import check_spec, spec_hash
from hmlcore.results.uniform import check_uniform

if TYPE_CHECKING:  # pandas takes most of a second to import, and only reading needs it
    import pandas as pd

    from hmlcore.results.resultset import ResultSet, Tuning


class Store:
    """Finished runs below `root`; nothing is created before the first write, and reading deletes nothing."""

    def __init__(self, root: Path | str):
        self.root = Path(root)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def place(self, profile: str, experiment: str) -> Place:
        """Where the runs of `experiment` at `profile` lie."""
        return Place(self.root, profile, experiment)

    def path(self, spec: Mapping) -> Path:
        """Where the loose run of `spec` is, or would be; the packed one is in :meth:`Place.packed`."""
        check_spec(spec)
        place, name = self.place(spec["profile"], spec["experiment"]), loose_name(spec_hash(spec))
        former = place.former / name
        return former if former.is_file() else place.inbox / name

    def claim(self, spec: dict) -> AbstractContextManager[str]:
        """Hold the run of `spec` while it is made, if nobody else does: who does, or "".

        A run must be looked for again once it is held. Raises HmlcoreError: the disk refuses.
        """
        place = self.place(spec["profile"], spec["experiment"])
        return claimed(place.inbox / f".{spec_hash(spec)[:16]}.claim")

    def has(self, spec: dict) -> bool:
        """Whether the run of `spec` is finished and stored. Reads no rows.

        Raises HmlcoreError: the footer of the packed runs cannot be read.
        """
        if self.path(spec).is_file():
            return True
        packed = footer(self.place(spec["profile"], spec["experiment"]).packed())
        return packed is not None and spec_hash(spec) in packed.runs

    def has_any(self, profile: str, experiment: str) -> bool:
        """Whether any run of `experiment` at `profile` is stored."""
        place = self.place(profile, experiment)
        return bool(place.loose()) or place.packed().is_file()  # in this order: a packer may be at work

    def hashes(self, profile: str, experiment: str) -> set[str]:
        """The first 16 digits of the spec hashes of what is stored. Reads no rows."""
        place = self.place(profile, experiment)
        found = {digits for path in place.loose() if (digits := digits_of(path))}
        packed = footer(place.packed())
        return found | {digest[:16] for digest in (packed.runs if packed else ())}

    def write(self, run: Run, replace: bool = False) -> Path:
        """Store `run` as a loose file, in place of an earlier one of the same spec; returns its path.

        Atomic: a reader sees the old file or the new one, also when the writer is killed.

        Args:
            replace: it was measured anew and also takes the place of the packed run of its spec, which must
                else be equal to it.

        Raises:
            HmlcoreError: a row cannot be stored, or the disk refuses (full, read-only).
        """
        path, content = self.path(run.spec), loose_bytes(run.table(), replaces=replace)
        # The trace goes first: a run that `has` reports is complete.
        if run.trace is not None:
            trace = loose_bytes(run.trace_table(), trace=True, replaces=replace)
            write_file(path.with_name(loose_name(spec_hash(run.spec), trace=True)), trace)
        write_file(path, content)
        return path

    def load(
        self,
        profile: str,
        experiment: str,
        factors: tuple[str, ...] | None = None,
        tuning: Tuning | None = None,
    ) -> ResultSet:
        """Every run of `experiment` at `profile`.

        Args:
            factors: what tells runs of the grid apart, see :func:`hmlcore.results.uniform.check_uniform`.
            tuning: what chooses among the learning rates that were tried.

        Raises:
            HmlcoreError: there is none (the message names the command that makes it), a file is corrupt,
                foreign or of another schema, two files contradict each other, or the runs are of several grids.
        """
        from hmlcore.results.resultset import ResultSet

        table = table_of(self.place(profile, experiment))
        if table is None:
            raise HmlcoreError(_missing("results", experiment, profile, self.root))
        check_uniform([json.loads(text) for text in table["spec"].unique().to_pylist()], factors)
        return ResultSet(_frame(table), tuning)

    def trace(self, profile: str, experiment: str, **conditions) -> pd.DataFrame:
        """Traces of the runs that meet `conditions` (e.g. ``mixer="hml", seed=0``), one row a token."""
        from hmlcore.results.resultset import select

        table = table_of(self.place(profile, experiment), trace=True)
        if table is None:
            raise HmlcoreError(_missing("traces", experiment, profile, self.root))
        found = select(_frame(table), conditions)
        if found.empty:
            raise HmlcoreError(f"no trace of {experiment!r} at profile {profile!r} with {conditions}")
        return found.reset_index(drop=True)

    def summary(self) -> pd.DataFrame:
        """What is stored: profile, experiment, number of runs, mixers and seeds (comma-separated)."""
        import pandas as pd

        lines = []
        for place in places(self.root):
            if (table := table_of(place)) is not None:
                names = ("spec_hash", "mixer", "seed")
                runs, mixers, seeds = (sorted(table[name].unique().to_pylist()) for name in names)
                shown = ", ".join(mixers), ", ".join(map(str, seeds))
                lines.append((place.profile, place.experiment, len(runs), *shown))
        return pd.DataFrame(lines, columns=["profile", "experiment", "runs", "mixers", "seeds"])

    def find(self, digits: str) -> dict[str, Place]:
        """Where the runs lie whose spec hash begins with `digits`, by their first 16. Reads no rows.

        Raises HmlcoreError: the footer of packed runs cannot be read.
        """
        found = {}
        for place in places(self.root):
            names = {digits_of(path) or "" for path in place.loose()}
            named = {name for name in names if name.startswith(digits[:16])}
            packed = footer(place.packed())
            named |= {digest[:16] for digest in (packed.runs if packed else ()) if digest.startswith(digits)}
            found |= dict.fromkeys(named, place)
        return dict(sorted(found.items()))

    def run(self, place: Place, digits: str) -> tuple[Path, pd.DataFrame]:
        """The file and the rows of the one run at `place` whose spec hash begins with `digits`.

        Raises HmlcoreError: there is none, several, or a file that cannot be read.
        """
        runs = gather(place, digits=digits).runs
        require(len(runs) == 1, f"{len(runs) or 'no'} runs {digits!r} in {self.root}")
        (part,) = runs.values()
        return part.path, _frame(join([part]))


def _missing(what: str, experiment: str, profile: str, root: Path) -> str:
    command = f"hml run {experiment} --profile {profile}"
    return f"no {what} of {experiment!r} at profile {profile!r} in {root}; make them with: {command}"


def _frame(table: pa.Table) -> pd.DataFrame:
    """As pandas has it: integers nullable, `spec` categorical."""
    import pandas as pd

    return table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
