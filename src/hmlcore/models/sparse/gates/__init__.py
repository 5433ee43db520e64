"""Gates: who decides what is written, one file each, under one contract."""

from typing import Any

from hmlcore.models.sparse.gates.after_read import AfterRead
from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats, followed, standardised
from hmlcore.models.sparse.gates.compression import Compression
from hmlcore.models.sparse.gates.every import Every
from hmlcore.models.sparse.gates.frequency import Frequency
from hmlcore.models.sparse.gates.heads import Heads
from hmlcore.models.sparse.gates.random import Random
from hmlcore.models.sparse.gates.rare import Rare
from hmlcore.models.sparse.gates.redundancy import Redundancy
from hmlcore.models.sparse.gates.salience import Salience
from hmlcore.models.sparse.gates.stratified import Stratified
from hmlcore.models.sparse.gates.surprisal import Surprisal
from hmlcore.models.sparse.named import build_named

__all__ = ["GATES", "Evidence", "Gate", "Stats", "build_gate", "followed", "standardised"]

_KNOWN = (
    Every, Random, Rare, Salience, Heads, Surprisal, Stratified, Redundancy, AfterRead, Frequency, Compression,
)  # fmt: skip
GATES: dict[str, type[Gate]] = {cls.name: cls for cls in _KNOWN}


def build_gate(name: str, vocab_size: int, d_model: int, **arguments: Any) -> Gate:
    """The gate called `name`; an unknown name or argument is refused with the known ones."""
    return build_named("gate", name, GATES, (vocab_size, d_model), arguments)
