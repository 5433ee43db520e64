"""Emptying a profile of its runs, where nothing lies among them that is not ours."""

import os
import re
from pathlib import Path

from hmlcore.errors import require
from hmlcore.manifest import without_empty
from hmlcore.results.merge import packed_at
from hmlcore.results.place import INBOX, Place, digits_of
from hmlcore.results.spec import is_name

_AIDS = re.compile(r"[\w.-]+\.lock|\.hml-[\w-]+\.tmp")
# Drawn from the runs: drawn anew, not deleted.
_DRAWN = re.compile(
    r"figures/[^/]+\.(json|svg|pdf)|tables/[^/]+\.(html|tex)|(numbers|claims|sources)\.json|numbers\.tex"
)


def clear(root: Path, profile: str) -> int:
    """Delete every run of `profile` below `root`, loose and packed; returns how many files that were.

    What was drawn from them stays. Raises: HmlcoreError, with nothing deleted, where the folder is a link, or
    holds one, or a file that is not ours.
    """
    top, ours = root / profile, []
    for path in (top, *sorted(top.rglob("*"))):
        require(not path.is_symlink(), f"{path} is a symbolic link: {top} is not emptied; move it elsewhere")
        if path.is_dir() or not os.path.lexists(path) or _DRAWN.fullmatch(path.relative_to(top).as_posix()):
            continue
        if path.name.startswith(".") and not _AIDS.fullmatch(path.name):  # nobody's, and in nobody's way
            continue
        require(_is_run(path, top), f"{path} was not written by hml: {top} is not emptied; move it elsewhere")
        ours.append(path)
    for path in ours:
        path.unlink(missing_ok=True)
    without_empty(root, ours)
    return len(ours)


def _is_run(path: Path, top: Path) -> bool:
    """Whether a file holds runs, or is what writing them leaves; packed ones are looked into.

    Raises: HmlcoreError where a file that is named like packed runs holds none, or another experiment's.
    """
    folder = path.parent.relative_to(top).parts
    if _AIDS.fullmatch(path.name):
        return folder[:1] in ((), (INBOX,), ("figures",), ("tables",))
    if folder:
        experiment = folder[1:] if folder[0] == INBOX else folder
        return len(experiment) == 1 and is_name(experiment[0]) and digits_of(path) is not None
    place = Place(top.parent, top.name, path.name.split(".")[0])
    for trace in (False, True):
        if path == place.packed(trace):
            return bool(packed_at(place, path, trace))
    return False
