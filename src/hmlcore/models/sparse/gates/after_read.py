"""Surprisal after the read (Strategy C): what the memory did not help to expect either."""

from torch import Tensor

from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats, standardised


class AfterRead(Gate):
    """z of I = −log p(x_t | x_<t, memory); no second head is needed."""

    name = "after_read"
    threshold = 1.0

    @property
    def strata(self) -> int:
        return 1

    def score(self, e: Evidence, stats: Stats) -> Tensor:
        return standardised(self.quantity(e), self.stratum(e), stats)
