"""Where the runs of one experiment at one profile lie: packed, and loose in an inbox.

``<root>/<profile>/<experiment>.parquet`` holds the packed runs, ``<experiment>.traces.parquet`` their traces.
``<root>/<profile>/.runs/<experiment>/<first 16 digits of the spec's hash>.parquet`` is a run that nobody packed
yet, beside its ``.trace.parquet``; ``<root>/<profile>/<experiment>/``, where these once lay, still counts.
``.<digits>.claim`` in the inbox says that somebody makes that run just now (:mod:`hmlcore.results.claims`).
"""

import re
from dataclasses import dataclass
from pathlib import Path

from hmlcore.files import listed
from hmlcore.results.spec import is_name

INBOX = ".runs"
TRACE = ".trace.parquet"
_TRACES = ".traces.parquet"
_CLAIMED = ".claimed"
_LOOSE = re.compile(r"([0-9a-f]{16})(\.claimed)?(\.trace)?\.parquet")


@dataclass(frozen=True)
class Place:
    """The files of `experiment` at `profile` below `root`."""

    root: Path
    profile: str
    experiment: str

    def packed(self, trace: bool = False) -> Path:
        """The one file of packed runs, or of their traces."""
        return self.root / self.profile / f"{self.experiment}{_TRACES if trace else '.parquet'}"

    @property
    def inbox(self) -> Path:
        """The folder of loose runs."""
        return self.root / self.profile / INBOX / self.experiment

    @property
    def former(self) -> Path:
        """The folder of loose runs before there was an inbox."""
        return self.root / self.profile / self.experiment

    def loose(self, trace: bool = False) -> list[Path]:
        """Loose runs, or their traces, as many as there are; names that begin with a dot are not ours."""
        found = []
        for folder in (self.former, self.inbox):
            paths = [path for path in listed(folder, "*.parquet") if path.name.endswith(TRACE) == trace]
            # A run written after a packer had claimed the one before it takes that one's place.
            found += [path for path in paths if not is_claimed(path) or unclaimed(path) not in paths]
        return found


def places(root: Path, profile: str | None = None) -> list[Place]:
    """Everything below `root` (or one profile of it) that has runs, sorted."""
    found = set()
    for folder in listed(root, "*/") if profile is None else [root / profile]:
        # Loose ones first, here and below: what a packer takes meanwhile is then found packed.
        names = {path.parent.name for at in (folder / INBOX, folder) for path in listed(at, "*/*.parquet")}
        names |= {path.stem for path in listed(folder, "*.parquet") if not path.name.endswith(_TRACES)}
        found |= {(folder.name, name) for name in names if is_name(name)}
    every = (Place(root, *names) for names in sorted(found))
    return [p for p in every if p.loose() or p.loose(trace=True) or p.packed().is_file()]


def loose_name(digest: str, trace: bool = False) -> str:
    """The file of the run of that spec hash, or of its trace."""
    return digest[:16] + (TRACE if trace else ".parquet")


def digits_of(path: Path) -> str | None:
    """The first 16 digits of the spec hash of a loose run or trace; None for a file that is named otherwise."""
    found = _LOOSE.fullmatch(path.name)
    return found and found[1]


def claimed(path: Path) -> Path:
    """The other name of a loose file, under which a packer looks at it once more before it deletes it."""
    first, rest = path.name.split(".", 1)
    return path.with_name(f"{first}{_CLAIMED}.{rest}")


def unclaimed(path: Path) -> Path:
    """The inverse of :func:`claimed`."""
    return path.with_name(path.name.replace(_CLAIMED, "", 1))


def is_claimed(path: Path) -> bool:
    """Whether a packer gave `path` its name."""
    return f"{_CLAIMED}." in path.name
