"""Which files in a folder are ours: nothing else is ever deleted, emptied or overwritten.

A folder that is made anew from time to time holds a list of what was written there. What is not on it stays as
it is, and where it is in the way, the work is refused before anything is touched. Links are never followed.

As a program: ``make clean``.
"""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from hmlcore.errors import HmlcoreError, require
from hmlcore.files import write_file

LIST = ".hmlcore-made"
# Of tools that the project runs; each says in a CACHEDIR.TAG that it may be deleted.
_CACHES = (".pytest_cache", ".ruff_cache", ".import_linter_cache")
_TAG = b"Signature: 8a477f597d28d172789f06886806bc55"


def no_links(top: Path, path: Path) -> Path:
    """`path`, a place below `top`. Raises HmlcoreError where a link leads there, to what need not be ours."""
    for step in (path, *path.parents):
        if step == top:
            return path
        require(not step.is_symlink(), f"{step} is a symbolic link: nothing is written or deleted through it")
    raise HmlcoreError(f"{path} is not below {top}")


class Manifest:
    """The files below `folder` that we wrote."""

    def __init__(self, folder: Path):
        self.folder = folder

    def names(self) -> set[str]:
        """Of all of them, relative to the folder, with forward slashes."""
        listed = self.folder / LIST
        if not listed.is_file() or listed.is_symlink():
            return set()
        names = listed.read_text("utf-8", "replace").splitlines()
        return {n for n in names if not PurePosixPath(n).is_absolute() and ".." not in PurePosixPath(n).parts}

    def claim(self, *names: str) -> None:
        """Call before files `names` are written, or written again.

        Raises: HmlcoreError, with nothing touched, where one is there already and not ours.
        """
        listed = self.names()
        for name in names:
            path = self._path(name)
            require(
                not path.exists() or (name in listed and path.is_file()),
                f"{path} is in the way: hml did not write it, and does not overwrite it; move it elsewhere",
            )
        if not listed.issuperset(names):
            self._list(listed.union(names))

    def replace(self, part: str, source: Path) -> None:
        """Copy the files below `source` to ``part/``, and delete what was written there and is not among them.

        Raises: HmlcoreError as :meth:`claim`.
        """
        files = {f"{part}/{p.relative_to(source).as_posix()}": p for p in source.rglob("*") if p.is_file()}
        self.claim(*files)
        self.delete(n for n in self.names() - files.keys() if n.startswith(f"{part}/"))
        for name, path in files.items():
            write_file(self._path(name), path.read_bytes(), durable=False)

    def delete(self, names: Iterable[str]) -> None:
        """Delete those of our files, and folders that are empty then."""
        gone = self.names().intersection(names)
        paths = [self._path(name) for name in gone]
        for path in paths:
            path.unlink(missing_ok=True)
        without_empty(self.folder, paths)
        self._list(self.names() - gone)

    def clean(self) -> None:
        """Delete all that is ours, the folder as well where it holds nothing else."""
        self.delete(self.names())
        (self.folder / LIST).unlink(missing_ok=True)
        remove_if_empty(self.folder)

    def _path(self, name: str) -> Path:
        return no_links(self.folder.parent, self.folder / name)

    def _list(self, names: set[str]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        listed = no_links(self.folder.parent, self.folder / LIST)
        write_file(listed, "".join(f"{name}\n" for name in sorted(names)))


def remove_if_empty(folder: Path) -> None:
    """Delete a folder that holds nothing."""
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def without_empty(top: Path, paths: list[Path]) -> None:
    """Delete the folders below `top` that held `paths` and hold nothing now, the innermost first."""
    for folder in sorted({p for path in paths for p in path.parents if top in p.parents}, reverse=True):
        remove_if_empty(folder)


def clean(project: Path) -> list[str]:
    """Delete what was built below `project`; a line for each place that keeps something."""
    kept, build = [], project / "_build"
    for folder in sorted(build.glob("*/")) if not build.is_symlink() else ():
        try:
            Manifest(no_links(project, folder)).clean()
        except HmlcoreError as error:
            kept.append(str(error))
    remove_if_empty(build)
    if os.path.lexists(build):
        kept.append(f"{build} holds what hml did not write, and stays")
    for cache in (project / name for name in _CACHES):
        tag = cache / "CACHEDIR.TAG"
        if not cache.is_symlink() and tag.is_file() and tag.read_bytes().startswith(_TAG):
            shutil.rmtree(cache)
        elif os.path.lexists(cache):
            kept.append(f"{cache} is not tagged as a cache, and stays")
    return kept


if __name__ == "__main__":
    sys.stderr.write("".join(f"{line}\n" for line in clean(Path(sys.argv[1]).resolve())))
