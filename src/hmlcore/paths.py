"""Where the project keeps things: one place decides, everything else asks."""

import os
from pathlib import Path

# The committed file that marks the project's root; a reader's own working folder has none.
_MARKER = "_toc.yml"


def root() -> Path:
    """The project folder: ``$HMLCORE_HOME``, else the nearest parent of the working folder that
    holds ``_toc.yml``, else the source checkout this package runs from, else the working folder."""
    if home := os.environ.get("HMLCORE_HOME"):
        return Path(home).resolve()
    here = Path.cwd().resolve()
    checkout = Path(__file__).resolve().parents[2]
    return next((p for p in (here, *here.parents, checkout) if (p / _MARKER).is_file()), here)


def results() -> Path:
    """The results store: ``$HMLCORE_RESULTS`` or ``results/`` in the project."""
    return Path(os.environ.get("HMLCORE_RESULTS") or root() / "results").resolve()


def checkpoints() -> Path:
    """Unfinished runs: ``$HMLCORE_CHECKPOINTS`` or ``checkpoints/`` in the project (never committed)."""
    return Path(os.environ.get("HMLCORE_CHECKPOINTS") or root() / "checkpoints").resolve()


def runs() -> Path:
    """What ``hml run --log`` writes: ``$HMLCORE_RUNS`` or ``runs/`` in the project (never committed)."""
    return Path(os.environ.get("HMLCORE_RUNS") or root() / "runs").resolve()


def cache() -> Path:
    """Derived data that can be remade at any time: ``$HMLCORE_CACHE`` or ``.cache/`` in the project."""
    return Path(os.environ.get("HMLCORE_CACHE") or root() / ".cache").resolve()


def data() -> Path | None:
    """The folder of real data sets named by ``$HMLCORE_DATA``, or None where it is not set."""
    folder = os.environ.get("HMLCORE_DATA")
    return Path(folder).resolve() if folder else None
