"""Surprisal (V67.2): what the model without its memory did not expect."""

from torch import Tensor

from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats, standardised


class Surprisal(Gate):
    """z of I = −log p(x_t | x_<t) over all tokens; written by itself where z > `threshold`."""

    name = "surprisal"
    needs_alone = True
    threshold = 1.0

    @property
    def strata(self) -> int:
        return 1

    def quantity(self, e: Evidence) -> Tensor:
        assert e.alone is not None  # it `needs_alone`
        return e.alone

    def score(self, e: Evidence, stats: Stats) -> Tensor:
        return standardised(self.quantity(e), self.stratum(e), stats)
