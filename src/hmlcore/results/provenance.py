"""Where a number came from: machine, software, source revision, cost. Needs no torch."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path

_SOURCE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Provenance:
    """What a run's spec does not say and every stored row carries.

    Attributes:
        device: "cpu", or the accelerator's name.
        steps: optimiser steps done.
        parameters: trained parameters.
        state_floats, state_bytes: recurrent state of one sequence at the training length.
        flops_per_token: forward pass.
        wall_s, tokens_per_s: training time in seconds, and training throughput.
        torch, python: versions.
        commit: Git revision of the running source, "unknown" outside a checkout.
        dirty: that checkout has changes outside the results folder; None where it is not known.
        started_at: ISO 8601, UTC.
        data_version, data_sha256: of real data; empty for generated tasks.
    """

    device: str
    steps: int
    parameters: int
    state_floats: int
    state_bytes: int
    flops_per_token: float
    wall_s: float
    tokens_per_s: float
    torch: str
    python: str
    commit: str
    dirty: bool | None
    started_at: str
    data_version: str = ""
    data_sha256: str = ""


def collect_provenance(
    device: str,
    *,
    steps: int,
    parameters: int,
    state_floats: int,
    state_bytes: int,
    flops_per_token: float,
    wall_s: float,
    tokens_per_s: float,
    started_at: datetime | None = None,
    data_version: str = "",
    data_sha256: str = "",
) -> Provenance:
    """The measured values given, completed with software versions and source revision.

    Args:
        started_at: when the run began, with a time zone; now, if not given.
    """
    commit, dirty = source_revision()
    return Provenance(
        device=device,
        steps=int(steps),
        parameters=int(parameters),
        state_floats=int(state_floats),
        state_bytes=int(state_bytes),
        flops_per_token=float(flops_per_token),
        wall_s=float(wall_s),
        tokens_per_s=float(tokens_per_s),
        torch=_version("torch"),
        python=platform.python_version(),
        commit=commit,
        dirty=dirty,
        started_at=(started_at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        data_version=data_version,
        data_sha256=data_sha256,
    )


@lru_cache(maxsize=1)
def source_revision() -> tuple[str, bool | None]:
    """``(commit, dirty)`` of the running source.

    Read once a process, because the code that runs is the code that was imported.
    """
    # Results are products: a grid that fills its own results folder must not mark its later runs dirty.
    elsewhere = os.environ.get("HMLCORE_RESULTS")
    return git_revision(_SOURCE, ignore=["results", *([str(Path(elsewhere).absolute())] if elsewhere else [])])


def git_revision(folder: Path, ignore: list[str]) -> tuple[str, bool | None]:
    """``(commit, dirty)`` of the checkout that tracks `folder`; what Git does not say is "unknown" and None.

    A checkout is dirty that has changes, files that it does not track, or source below `folder` that it is told
    to ignore.

    Args:
        ignore: paths, relative to the top of the checkout or absolute, whose changes do not count.
    """
    top = git(folder, "rev-parse", "--show-toplevel")
    # A package installed below some other project's checkout is not tracked by it.
    if top is None or not git(folder, "ls-files", "--", "."):
        return "unknown", None
    root = Path(top)
    commit = git(root, "rev-parse", "HEAD") or "unknown"
    excluded = []
    for name in ignore:
        path = (root / name).resolve()
        if path != root and path.is_relative_to(root):
            excluded.append(f":(exclude,literal){path.relative_to(root).as_posix()}")
    changes = (
        git(root, "status", "--porcelain", "--untracked-files=normal", "--", ".", *excluded),
        git(folder, "ls-files", "--others", "--", "*.py"),
    )
    unseen = git(root, "ls-files", "-v", "--", ".", *excluded)
    if commit == "unknown" or None in changes or unseen is None:
        return commit, None
    # Small letters and S: Git was told to take these for unchanged, whatever is in them.
    flagged = (line[2:] for line in unseen.splitlines() if line[0].islower() or line[0] == "S")
    if not any(changes) and any((root / name).exists() for name in flagged):
        return commit, None
    return commit, any(map(bool, changes))


def git(folder: Path, *args: str) -> str | None:
    """:func:`git_bytes` as text, without the line ends after it."""
    output = git_bytes(folder, *args)
    return None if output is None else os.fsdecode(output).rstrip("\n")


def git_bytes(folder: Path, *args: str, feed: bytes = b"") -> bytes | None:
    """Output of one Git command that is given `feed` to read, None where Git is absent or refuses.

    Neither another repository that a hook is of (GIT_DIR, GIT_INDEX_FILE) nor what the user set has a say. That
    the folder is somebody else's does not matter: its code is running already.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    options = ["safe.directory=*", "core.fsmonitor=false", f"core.excludesFile={os.devnull}"]
    command = ["git", "--no-optional-locks", "-C", str(folder), *(x for o in options for x in ("-c", o)), *args]
    try:
        done = subprocess.run(command, input=feed, capture_output=True, env=clean, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
