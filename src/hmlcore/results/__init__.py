"""Finished runs: what identifies them, where they came from, how they are stored and read back.

Nothing here imports torch: every figure, table and number of the book is made from this package alone.
"""

from hmlcore.results.provenance import Provenance, collect_provenance, source_revision
from hmlcore.results.resultset import ResultSet
from hmlcore.results.run import Run
from hmlcore.results.spec import SCHEMA, canonical, spec_hash
from hmlcore.results.store import Store

__all__ = [
    "SCHEMA",
    "Provenance",
    "ResultSet",
    "Run",
    "Store",
    "canonical",
    "collect_provenance",
    "source_revision",
    "spec_hash",
]
