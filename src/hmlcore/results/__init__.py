"""Finished runs: what identifies them, where they came from, how they are stored and read back.

Nothing here imports torch: every figure, table and number of the book is made from this package alone.
"""

from typing import TYPE_CHECKING, Any

from hmlcore.results.provenance import Provenance, collect_provenance, source_revision
from hmlcore.results.run import Run
from hmlcore.results.spec import SCHEMA, canonical, spec_hash
from hmlcore.results.store import Store

if TYPE_CHECKING:
    from hmlcore.results.resultset import ResultSet, Tuning

__all__ = [
    "SCHEMA",
    "Provenance",
    "ResultSet",
    "Run",
    "Store",
    "Tuning",
    "canonical",
    "collect_provenance",
    "source_revision",
    "spec_hash",
]


def __getattr__(name: str) -> Any:
    # pandas takes most of a second to import, and a store that is only written to or packed does not need it.
    if name not in ("ResultSet", "Tuning"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hmlcore.results import resultset

    return getattr(resultset, name)
