"""The runner: what makes the runs of studies, looks them up, makes them again and compares.

Imported lazily: what only reads the store needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Outcome": "grid", "run_grid": "grid", "execute": "run", "results_of": "load", "trace_of": "load",
}  # fmt: skip
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll] # said below

if TYPE_CHECKING:
    from hmlcore.runner.grid import Outcome as Outcome
    from hmlcore.runner.grid import run_grid as run_grid
    from hmlcore.runner.load import results_of as results_of
    from hmlcore.runner.load import trace_of as trace_of
    from hmlcore.runner.run import execute as execute


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hmlcore.runner' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(f"hmlcore.runner.{_HOMES[name]}"), name)
