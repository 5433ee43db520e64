"""The contract of a gate: a score for every token, of which the highest are written."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from hmlcore.ops.hashing import uniform_of


class Evidence(NamedTuple):
    """What a gate may look at, of the U tokens of a chunk, which is over: [B, U] unless said."""

    ids: Tensor
    cues: Tensor  # the id before each
    position: Tensor
    hidden: Tensor  # [B, U, d_model], what the memory sees of the token
    alone: Tensor | None  # −log p(id) in nats without the memory; None unless the gate uses it
    after: Tensor  # −log p(id) in nats, the memory read
    redundancy: Tensor  # the cosine of its key to the nearest slot of its bucket; −1 where that is empty
    residual: Tensor  # ‖value − what was read‖² / ‖value‖²
    seed: int

    @property
    def noise(self) -> Tensor:
        """[0, 1) from seed, position and ids alone: the same in any chunking, on any device."""
        return uniform_of(self.seed, self.position, self.ids, self.cues)


class Stats(NamedTuple):
    """Running mean and variance of a quantity in each of its strata, and whether any was seen: [B, C]."""

    mean: Tensor
    var: Tensor
    seen: Tensor


class Gate(nn.Module, ABC):
    """Scores tokens; what scores above a threshold is written. A score has no ties.

    Attributes:
        needs_alone: whether it looks at the surprise without the memory, which costs a second head.
        learned: whether its score has parameters; the write then passes a gradient straight through.
        holds: whether a density can be held by moving the threshold.
        threshold: of the score, where no density is held.
    """

    name: ClassVar[str]
    needs_alone: ClassVar[bool] = False
    learned: ClassVar[bool] = False
    holds: ClassVar[bool] = True
    threshold: float = 0.0

    def __init__(self, vocab_size: int, d_model: int):
        super().__init__()
        self.vocab_size, self.d_model = vocab_size, d_model

    @property
    def strata(self) -> int:
        """How many classes of tokens have statistics of their own; 0: none are kept."""
        return 0

    def stratum(self, e: Evidence) -> Tensor:
        """The class of each token."""
        return torch.zeros_like(e.ids)

    def quantity(self, e: Evidence) -> Tensor:
        """What the statistics follow."""
        return e.after

    @abstractmethod
    def score(self, e: Evidence, stats: Stats) -> Tensor:
        """[B, U], higher is written first; `stats` have seen these tokens."""


def standardised(quantity: Tensor, stratum: Tensor, stats: Stats) -> Tensor:
    """z = (I − μ_c) / √(σ²_c + .2), by the statistics of each token's stratum c."""
    mean, var = (x.gather(1, stratum) for x in (stats.mean, stats.var))
    return (quantity - mean) / (var + 0.2).sqrt()


def followed(stats: Stats, quantity: Tensor, stratum: Tensor, rate: float = 0.01) -> Stats:
    """Statistics after a chunk: as exponential means of `rate` a token; what was never seen begins with the
    chunk's own. Of n tokens with mean m and variance v the weight is w = 1 − (1 − rate)ⁿ:

        μ ← μ + w(m − μ),   σ² ← (1 − w)(σ² + w(m − μ)²) + w v
    """
    if stats.mean.shape[1] == 0:
        return stats
    zero = torch.zeros_like(stats.mean)
    count = zero.scatter_add(1, stratum, torch.ones_like(quantity))
    mean = zero.scatter_add(1, stratum, quantity) / count.clamp_min(1)
    var = zero.scatter_add(1, stratum, (quantity - mean.gather(1, stratum)) ** 2) / count.clamp_min(1)
    weight = 1 - (1 - rate) ** count
    weight = torch.where((stats.seen == 0) & (count > 0), 1.0, weight)
    gap = mean - stats.mean
    return Stats(
        stats.mean + weight * gap,
        (1 - weight) * (stats.var + weight * gap**2) + weight * var,
        torch.maximum(stats.seen, (count > 0).to(stats.seen.dtype)),
    )
