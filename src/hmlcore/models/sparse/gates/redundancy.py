"""Read before write (Strategy B): what surprises and is not there yet."""

from torch import Tensor

from hmlcore.models.sparse.gates.base import Evidence, Stats
from hmlcore.models.sparse.gates.surprisal import Surprisal

_SUPPRESSED = 8.0
_ALIKE = 0.9


class Redundancy(Surprisal):
    """z of surprisal, less 8 where a slot of the bucket has a cosine above .9: such a token comes last."""

    name = "redundancy"

    def score(self, e: Evidence, stats: Stats) -> Tensor:
        return super().score(e, stats) - _SUPPRESSED * (e.redundancy > _ALIKE)
