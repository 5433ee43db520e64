"""Inverse frequency: the rarer the id, the sooner it is written, whatever stands around it."""

import math

from torch import Tensor

from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats


class Frequency(Gate):
    """log V / log(id + e), ids being frequency ranks turned round: the last id counts most. A little noise
    parts tokens of one id."""

    name = "frequency"
    threshold = 1.0

    def score(self, e: Evidence, stats: Stats) -> Tensor:
        rank = (self.vocab_size - 1 - e.ids).float()
        return math.log(self.vocab_size) / (rank + math.e).log() + 1e-3 * e.noise
