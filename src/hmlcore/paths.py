"""Where the project keeps things: one place decides, everything else asks."""

import os
import tomllib
from pathlib import Path

from hmlcore.errors import HmlcoreError, require

_NAME = "hmlcore"
# Outside every project; a name that nobody else has, so that nothing of anybody else's is in it.
_ELSEWHERE = "hmlcore-work"


def is_project(folder: Path) -> bool:
    """Whether `folder` is a checkout of this project: its ``pyproject.toml`` says so, as nobody else's does."""
    try:
        settings = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    project = settings.get("project")
    return isinstance(project, dict) and project.get("name") == _NAME


def root() -> Path:
    """The project folder: ``$HMLCORE_HOME``, else the nearest checkout of this project that holds the working
    folder, else the one that this package runs from, else ``hmlcore-work`` in the working folder."""
    if home := os.environ.get("HMLCORE_HOME"):
        return _folder("HMLCORE_HOME", home)
    try:
        here = Path.cwd().resolve()
    except OSError as error:
        raise HmlcoreError(f"the working folder cannot be used: {error.strerror or error}") from error
    checkout = Path(__file__).resolve().parents[2]
    return next((p for p in (here, *here.parents, checkout) if is_project(p)), here / _ELSEWHERE)


def project() -> Path:
    """:func:`root`, for what needs the project's sources. Raises: HmlcoreError where it has none."""
    folder = root()
    require(
        is_project(folder),
        f"{folder} is no checkout of {_NAME}: run this inside one, or name it by HMLCORE_HOME",
    )
    return folder


def results() -> Path:
    """The results store: ``$HMLCORE_RESULTS`` or ``results/`` in the project."""
    return _place("HMLCORE_RESULTS", "results")


def checkpoints() -> Path:
    """Unfinished runs: ``$HMLCORE_CHECKPOINTS`` or ``checkpoints/`` in the project (never committed)."""
    return _place("HMLCORE_CHECKPOINTS", "checkpoints")


def runs() -> Path:
    """What ``hml run --log`` writes: ``$HMLCORE_RUNS`` or ``runs/`` in the project (never committed)."""
    return _place("HMLCORE_RUNS", "runs")


def cache() -> Path:
    """Derived data that can be remade at any time: ``$HMLCORE_CACHE`` or ``.cache/`` in the project."""
    return _place("HMLCORE_CACHE", ".cache")


def data() -> Path | None:
    """The folder of real data sets named by ``$HMLCORE_DATA``, or None where it is not set."""
    named = os.environ.get("HMLCORE_DATA")
    return _folder("HMLCORE_DATA", named) if named else None


def _place(variable: str, name: str) -> Path:
    return _folder(variable, os.environ.get(variable) or root() / name)


def _folder(variable: str, named: str | Path) -> Path:
    """The folder `named`, which need not exist, without links.

    Raises: HmlcoreError where it is something else, or cannot be reached: a loop of links, no permission.
    """
    path = Path(named)
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise HmlcoreError(f"{path} cannot be used: {why}; {variable} names another folder") from error
    else:
        require(path.is_dir(), f"{path} is not a folder; {variable} names another")
    return path.resolve()
