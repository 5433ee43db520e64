"""Random writing, the control of every other gate: the same density, and no reason."""

from torch import Tensor

from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats


class Random(Gate):
    """Uniform noise of position and ids."""

    name = "random"
    threshold = 0.88

    def score(self, e: Evidence, stats: Stats) -> Tensor:
        return e.noise
