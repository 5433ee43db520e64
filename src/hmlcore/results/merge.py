"""The runs of one experiment, wherever they lie: each once, and no two that contradict each other."""

from collections.abc import Container, Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from hmlcore.errors import HmlcoreError, require
from hmlcore.results.files import Part, read_loose
from hmlcore.results.packed import Footer, difference, footer, join, read_packed, split
from hmlcore.results.place import Place

_TRIES = 50


class Gathered(NamedTuple):
    """Runs by spec hash, and all that was read from loose files."""

    runs: dict[str, Part]
    loose: list[Part]


def table_of(place: Place, trace: bool = False) -> pa.Table | None:
    """The rows of all runs of a place, or of their traces, sorted by spec hash; None if there are none.

    Raises HmlcoreError: a file is not what it should be, or two of them contradict each other.
    """
    if not place.loose(trace):
        try:
            return packed_at(place, place.packed(trace), trace)[0]
        except FileNotFoundError:
            return None
    runs = gather(place, trace).runs
    return join(runs.values()) if runs else None


def gather(
    place: Place,
    trace: bool = False,
    *,
    also: Iterable[Path] = (),
    drop: Container[str] = (),
    loose_of: Container[str] | None = None,
    digits: str = "",
) -> Gathered:
    """All runs of a place, or their traces, one by one.

    Args:
        also: further packed files.
        drop: spec hashes that are left out of the place's own packed file.
        loose_of: loose files count only for these spec hashes.
        digits: only runs whose spec hash begins with these.

    Raises:
        HmlcoreError: as :func:`table_of`.
    """
    for _ in range(_TRIES):
        # Listed first: what a packer takes away meanwhile is in the packed file that is read after that.
        paths = [path for path in place.loose(trace) if path.name.startswith(digits[:16])]
        try:
            packed = []
            for path in (place.packed(trace), *also):
                left_out = drop if path == place.packed(trace) else ()
                packed += _packed_parts(place, path, trace, digits, left_out)
            loose = [read_loose(path) for path in paths]
        except FileNotFoundError as error:
            gone = error
            continue
        loose = [part for part in loose if part.digest.startswith(digits)]
        loose = [part for part in loose if loose_of is None or part.digest in loose_of]
        for part in loose:
            _check_home(place, part.path, part.table)
        return Gathered(_merged(place, [*packed, *loose]), loose)
    raise HmlcoreError(f"{gone.filename} is listed but cannot be opened: a broken link? Delete it")


def _packed_parts(place: Place, path: Path, trace: bool, digits: str, drop: Container[str]) -> list[Part]:
    listed = footer(path)
    if listed is None or not any(digest.startswith(digits) for digest in listed.runs):
        return []
    table, listed = packed_at(place, path, trace)
    return split(path, table, listed, [d for d in listed.runs if d.startswith(digits) and d not in drop])


def packed_at(place: Place, path: Path, trace: bool) -> tuple[pa.Table, Footer]:
    """The rows in a packed file, and its footer. Raises HmlcoreError: it is of another place or kind."""
    table, listed = read_packed(path)
    has, wants = (("traces" if kind else "runs") for kind in (listed.trace, trace))
    require(has == wants, f"{path} has 'hmlcore_packed' {has!r} where {wants!r} belong: it was renamed")
    _check_home(place, path, table)
    return table, listed


def _check_home(place: Place, path: Path, table: pa.Table) -> None:
    """A file that was moved to another folder would be counted there."""
    for column, wanted in (("experiment", place.experiment), ("profile", place.profile)):
        found = table[column].unique().to_pylist()
        shown = ", ".join(map(str, found))
        require(found == [wanted], f"{path}: its {column} is {shown}, and it lies where {wanted!r} belongs")


def _merged(place: Place, parts: Iterable[Part]) -> dict[str, Part]:
    """`parts` by spec hash; of equal ones the first, and one that replaces wins over those before it."""
    merged: dict[str, Part] = {}
    for part in parts:
        held = merged.setdefault(part.digest, part)
        if held is part or (gap := difference(held.table, part.table)) is None:
            continue
        require(
            part.replaces,
            f"{held.path} and {part.path} have different results of run {part.digest[:16]}: {gap}; delete the "
            f"second, or the first (if packed: hml pack {place.experiment} --profile {place.profile} --drop "
            f"{part.digest[:16]})",
        )
        merged[part.digest] = part
    return merged
