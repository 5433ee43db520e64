"""No gate: every token is written."""

import torch

from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats


class Every(Gate):
    """Writes whatever comes; slots decide by what they drive out."""

    name = "every"
    holds = False

    def score(self, e: Evidence, stats: Stats) -> torch.Tensor:
        return 1 + e.noise
