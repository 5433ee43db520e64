"""Several learned gates in one: what any head wants is written."""

from torch import Tensor, nn

from hmlcore.checks import check_int
from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats


class Heads(Gate):
    """s = log Σ_h e^{⟨w_h, h⟩ + b_h}, the soft maximum of `heads` saliences."""

    name = "heads"
    learned = True

    def __init__(self, vocab_size: int, d_model: int, heads: int = 4):
        super().__init__(vocab_size, d_model)
        self.proj = nn.Linear(d_model, check_int("heads", heads))

    def score(self, e: Evidence, stats: Stats) -> Tensor:
        return self.proj(e.hidden).float().logsumexp(-1)
