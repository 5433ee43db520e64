"""The oracle that is told which ids are rare."""

import torch

from hmlcore.checks import check_int, check_optional
from hmlcore.errors import require
from hmlcore.models.sparse.gates.base import Evidence, Gate, Stats


class Rare(Gate):
    """Ids from `rare_from` on before all others, each group in an order without reason.

    Ids are frequency ranks, the most frequent first. Args: rare_from, the rarest eighth of them if None.
    """

    name = "rare"
    threshold = 1.0

    def __init__(self, vocab_size: int, d_model: int, rare_from: int | None = None):
        super().__init__(vocab_size, d_model)
        given = check_optional("rare_from", rare_from, check_int, 0)
        self.rare_from = vocab_size - vocab_size // 8 if given is None else given
        require(
            self.rare_from < vocab_size,
            f"rare_from must be below the {vocab_size} ids of the vocabulary, got {self.rare_from}",
        )

    def score(self, e: Evidence, stats: Stats) -> torch.Tensor:
        return (e.ids >= self.rare_from) + e.noise
