"""Bounded memory for long sequences, measured honestly.

The public surface is lazy (PEP 562): ``import hmlcore`` and everything that only reads results
work without importing torch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

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
__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll] # said below

if TYPE_CHECKING:  # what the names are, to who reads types and not the table
    from hmlcore.errors import HmlcoreError as HmlcoreError
    from hmlcore.layers import GRU as GRU
    from hmlcore.layers import HML as HML
    from hmlcore.layers import Attention as Attention
    from hmlcore.layers import Mixer as Mixer
    from hmlcore.layers import build_mixer as build_mixer
    from hmlcore.layers import recording as recording
    from hmlcore.layers import register_mixer as register_mixer
    from hmlcore.models import Backbone as Backbone
    from hmlcore.models import BackboneConfig as BackboneConfig
    from hmlcore.models import Classifier as Classifier
    from hmlcore.results import ResultSet as ResultSet
    from hmlcore.results import Store as Store
    from hmlcore.tasks import build_task as build_task


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hmlcore' has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(f"hmlcore.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
