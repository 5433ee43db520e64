"""Bounded memory for long sequences, measured honestly.

The public surface is lazy (PEP 562): ``import hmlcore`` and everything that only reads results
work without importing torch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("hmlcore")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0"

_HOMES = {
    "Backbone": "models", "BackboneConfig": "models", "Classifier": "models",
    "HML": "layers", "Attention": "layers", "GRU": "layers", "Mixer": "layers",
    "build_mixer": "layers", "register_mixer": "layers", "recording": "layers",
    "build_task": "tasks", "Store": "results", "ResultSet": "results", "HmlcoreError": "errors",
}  # fmt: skip
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hmlcore' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(f"hmlcore.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
