"""The past of a few files: their text at any commit, through renames, asked of Git in a handful of commands."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hmlcore.results.provenance import git, git_bytes


class Commit(NamedTuple):
    """A commit that changed one of the files: its parents among such commits, and the later of its dates."""

    name: str
    parents: list[str]
    time: int


class History:
    """The past of `paths` in the checkout at `top`.

    Args: top, the checkout. paths, relative to it.

    Attributes:
        commits: name → commit, of those that changed one of the files, the newest first.
    """

    def __init__(self, top: Path, paths: Sequence[str]):
        self._top = top
        self._names = _earlier_names(top, paths)
        every = sorted({name for names in self._names.values() for name in names})
        self.commits = {commit.name: commit for commit in _commits(top, every)}
        self._files: dict[str, dict[str, str]] = {}

    def names(self, path: str) -> list[str]:
        """What a file of `paths` is and was called, the newest name first."""
        return self._names[path]

    def read(self, commits: Iterable[str]) -> None:
        """Fetch the files' texts at all of `commits` together; those that Git does not know are skipped."""
        wanted = [name for name in dict.fromkeys(commits) if name not in self._files]
        every = sorted({name for names in self._names.values() for name in names})
        asked = [(commit, path) for commit in wanted for path in ("", *every)]
        lines = "".join(f"{commit}:{path}\n" for commit, path in asked)
        answers = git_bytes(self._top, "cat-file", "--batch-check", feed=lines.encode()) if asked else b""
        blobs: dict[tuple[str, str], str] = {}
        for (commit, path), answer in zip(asked, (answers or b"").decode().splitlines(), strict=False):
            digest, _, kind = answer.partition(" ")
            if not path and kind.startswith("tree"):
                self._files[commit] = {}
            elif kind.startswith("blob"):
                blobs[commit, path] = digest
        texts = _texts(self._top, sorted(set(blobs.values())))
        for (commit, path), digest in blobs.items():
            self._files[commit][path] = texts[digest]

    def files(self, commit: str) -> dict[str, str] | None:
        """Path → text of the files at a commit that was read; None where Git does not know it."""
        return self._files.get(commit)


def checkout_of(folder: Path) -> Path | None:
    """The top of the checkout that tracks `folder`; None without Git, or where history is cut short."""
    top = git(folder, "rev-parse", "--show-toplevel")
    if top is None or not git(folder, "ls-files", "--", ".") or git(folder, "rev-parse", "HEAD") is None:
        return None
    return Path(top) if git(folder, "rev-parse", "--is-shallow-repository") == "false" else None


def _earlier_names(top: Path, paths: Sequence[str]) -> dict[str, list[str]]:
    """Path → the names of that file, the newest first."""
    log = git(top, "log", "-M", "--diff-filter=R", "--name-status", "--format=", "-z", "HEAD") or ""
    fields = iter(log.split("\0"))
    found = {path: [path] for path in paths}
    for status in fields:
        if status.strip().startswith("R"):
            before, after = next(fields), next(fields)
            for names in found.values():
                if after in names and before not in names:
                    names.append(before)
    return found


def _commits(top: Path, paths: Sequence[str]) -> list[Commit]:
    """The commits that changed one of `paths`, the newest first, with parents among themselves."""
    log = git(top, "log", "--topo-order", "--parents", "--format=%H|%P|%at|%ct", "HEAD", "--", *paths) or ""
    found = []
    for line in log.splitlines():
        name, parents, written, committed = line.split("|")
        found.append(Commit(name, parents.split(), max(int(written), int(committed))))
    return found


def _texts(top: Path, blobs: Sequence[str]) -> dict[str, str]:
    """Blob → its text, of all in one command."""
    feed = "".join(f"{blob}\n" for blob in blobs).encode()
    stream = (git_bytes(top, "cat-file", "--batch", feed=feed) if blobs else b"") or b""
    found, at = {}, 0
    for blob in blobs:
        end = stream.index(b"\n", at)
        size = int(stream[at:end].split()[2])
        found[blob] = stream[end + 1 : end + 1 + size].decode("utf-8", "replace")
        at = end + size + 2
    return found
