"""Stratified surprisal (V67.3): a rare token is held against rare tokens, a common one against common ones."""

import torch
from torch import Tensor

from hmlcore.checks import check_choice
from hmlcore.models.sparse.gates.base import Evidence
from hmlcore.models.sparse.gates.surprisal import Surprisal

STRATA = ("frequency", "id")


class Stratified(Surprisal):
    """The same z within strata: by "frequency", two of them, of which the rarest eighth of ids is one; by "id",
    one for each."""

    name = "stratified"

    def __init__(self, vocab_size: int, d_model: int, by: str = "frequency"):
        super().__init__(vocab_size, d_model)
        self.by = check_choice("by", by, STRATA)

    @property
    def strata(self) -> int:
        return 2 if self.by == "frequency" else self.vocab_size

    def stratum(self, e: Evidence) -> Tensor:
        rare = self.vocab_size - self.vocab_size // 8
        return (e.ids >= rare).to(torch.int64) if self.by == "frequency" else e.ids
