"""The runner: what makes the runs of studies, looks them up, makes them again and compares.

Imported lazily: what only reads the store needs no torch.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Outcome": "grid", "run_grid": "grid", "execute": "run", "results_of": "load", "trace_of": "load",
}  # fmt: skip
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hmlcore.runner' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(f"hmlcore.runner.{_HOMES[name]}"), name)
