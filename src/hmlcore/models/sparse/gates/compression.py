"""Compression: what the memory cannot rebuild from what it holds."""

from torch import Tensor

from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats


class Compression(Gate):
    """The share of a value that reading at its cue leaves over: 1 of an empty memory, 0 of what is stored.
    A little surprisal parts what an empty memory finds alike."""

    name = "compression"
    threshold = 0.5

    def score(self, e: Evidence, stats: Stats) -> Tensor:
        return e.residual + 1e-2 * e.after
