"""Putting loose runs into the one file of their experiment, so that nothing is ever lost or stored twice.

Loose files are deleted only when the packed file that holds their runs is durable and was read back whole. A
packer that is killed before leaves them where they are; one that is killed between leaves runs in both places,
which count once.
"""

import hashlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.files import fsync_folder, write_file
from hmlcore.results.files import Part
from hmlcore.results.lock import locked
from hmlcore.results.merge import gather
from hmlcore.results.packed import difference, footer, packed_bytes, read_packed
from hmlcore.results.place import Place, claimed, is_claimed, places
from hmlcore.results.spec import is_name

if TYPE_CHECKING:
    from hmlcore.results.store import Store


class Packed(NamedTuple):
    """What packing did: runs that went in (new, or in place of one), runs and bytes that the file now has."""

    experiment: str
    path: Path
    added: int
    runs: int
    size: int


def pack(
    store: "Store",
    profile: str,
    experiment: str | None = None,
    *,
    also: Collection[Path] = (),
    drop: Collection[str] = (),
) -> list[Packed]:
    """Pack the loose runs of `experiment`, or of all that have any; those packed before stay.

    The same runs give the same bytes, however they came together. Any number of packers and writers can work at
    once, and any of them may be killed.

    Args:
        also: packed files whose runs go in as well, as of the other side of a merge; they stay.
        drop: packed runs to take out first, each by the first digits of its spec hash.

    Raises:
        HmlcoreError: a file is not what it should be, two contradict each other, no such experiment or run, or
            the disk refuses. Nothing is changed then.
    """
    require(is_name(profile), f"profile {profile!r} is not a name")
    found = places(store.root, profile)
    if experiment is None:
        require(not also and not drop, "which experiment's runs? Files and hashes belong to one")
        return [_pack(place) for place in found if place.loose() or place.loose(trace=True)]
    place = store.place(profile, experiment)
    if place not in found and not also:
        raise unknown(
            f"experiment with results at profile {profile!r}", experiment, [p.experiment for p in found]
        )
    also = [Path(path) for path in also]
    for path in also:
        require(path.is_file(), f"no file {path}")
    return [_pack(place, also, drop)]


def _pack(place: Place, also: Collection[Path] = (), drop: Collection[str] = ()) -> Packed:
    if not (place.loose() or place.loose(trace=True) or also or drop):
        return _outcome(place, 0)
    with locked(place.inbox.with_name(f"{place.experiment}.lock")):
        before = footer(place.packed())
        hashes = _named(place, before.runs if before else (), drop)
        kinds = [found.trace for found in map(footer, also) if found is not None]  # they are files
        # Runs are listed first: the trace of each is there by then.
        runs = gather(place, also=_of_kind(also, kinds, False), drop=hashes)
        # A trace waits for its run, which its writer stores next, or makes again with another trace.
        traces = gather(place, True, also=_of_kind(also, kinds, True), drop=hashes, loose_of=runs.runs)
        if drop and not runs.runs:
            raise HmlcoreError(f"{place.packed()} would hold no run; delete it instead")
        _store(place, list(traces.runs.values()), trace=True)
        _store(place, list(runs.runs.values()), trace=False)
        _delete([*runs.loose, *traces.loose])
        with suppress(OSError):  # there is none, or it has something else in it
            place.former.rmdir()
        return _outcome(place, sum(part.path != place.packed() for part in runs.runs.values()))


def _named(place: Place, hashes: Iterable[str], drop: Collection[str]) -> set[str]:
    """The packed runs that `drop` names by their first digits."""
    named = set()
    for digits in drop:
        fitting = [digest for digest in hashes if digest.startswith(digits)]
        require(len(digits) >= 4, f"a run is named by 4 digits of its spec hash or more, got {digits!r}")
        require(len(fitting) == 1, f"{len(fitting) or 'no'} runs {digits!r} in {place.packed()}")
        named |= set(fitting)
    return named


def _of_kind(paths: Iterable[Path], kinds: Iterable[bool], trace: bool) -> list[Path]:
    return [path for path, kind in zip(paths, kinds, strict=True) if kind == trace]


def _store(place: Place, parts: list[Part], trace: bool) -> None:
    """Make `parts` the packed file, unless it holds exactly these."""
    path, held = place.packed(trace), footer(place.packed(trace))
    if held and len(held.runs) == len(parts) and all(part.path == path for part in parts):
        return
    if not parts:  # the last trace was dropped, or there never was one
        path.unlink(missing_ok=True)
        return
    content, table = packed_bytes(parts, trace)

    def check(written: Path) -> None:
        gap = difference(read_packed(written)[0], table)
        require(
            gap is None, f"{path} was not stored as it was written ({gap}): a faulty disk? Nothing was changed"
        )

    write_file(path, content, check=check)


def _delete(parts: Iterable[Part]) -> None:
    """Delete loose files that are packed, but none that a writer has meanwhile put in the place of one.

    A file is first renamed, so that no writer can replace it any more, then looked at. What turns out to be
    newer keeps that name, and is as good a loose run as any.
    """
    folders = set()
    for part in parts:
        path = part.path if is_claimed(part.path) else claimed(part.path)
        try:
            part.path.replace(path)
            if hashlib.sha256(path.read_bytes()).hexdigest() == part.content:
                path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HmlcoreError(f"packed, but cannot delete {path}: {error.strerror or error}") from error
        folders.add(path.parent)
    for folder in folders:
        fsync_folder(folder)


def _outcome(place: Place, added: int) -> Packed:
    path = place.packed()
    held = footer(path)
    return Packed(
        place.experiment, path, added, len(held.runs) if held else 0, path.stat().st_size if held else 0
    )
