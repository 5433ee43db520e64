"""Learned salience (V66): a linear map of what the memory sees, trained straight through the write."""

from torch import Tensor, nn

from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats


class Salience(Gate):
    """s = ⟨w, h⟩ + b."""

    name = "salience"
    learned = True

    def __init__(self, vocab_size: int, d_model: int):
        super().__init__(vocab_size, d_model)
        self.proj = nn.Linear(d_model, 1)

    def score(self, e: Evidence, stats: Stats) -> Tensor:
        return self.proj(e.hidden)[..., 0].float()
