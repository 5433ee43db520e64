"""Recurrent Memory Transformer: segments of full attention that hand on a few tokens of memory."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmlcore.checks import check_fields, check_instance, check_int
from hmlcore.errors import require
from hmlcore.models.backbone import BackboneConfig
from hmlcore.models.chunked import Chunked
from hmlcore.ops.packing import own


@dataclass(frozen=True)
class RecurrentMemoryConfig(BackboneConfig):
    """A :class:`~hmlcore.models.BackboneConfig` around attention, read in segments.

    Attributes: chunk, tokens U of a segment; memory_tokens, how many M are handed on.
    Raises: HmlcoreError for a value out of its range, and another mixer.
    """

    mixer: str = "attention"
    chunk: int = 64
    memory_tokens: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, chunk=(check_int,), memory_tokens=(check_int,))
        require(self.mixer == "attention", f"mixer must be 'attention', got {self.mixer!r}")

    def build(self) -> "RecurrentMemory":
        return RecurrentMemory(self)


class RecurrentMemoryState(NamedTuple):
    """The tokens that are handed on, and the segment under way."""

    memory: Tensor  # [B, M, d_model]
    tokens: Tensor  # [B, U] int32
    filled: Tensor  # [B] int32


class RecurrentMemory(Chunked):
    """Attention over [memory, segment, memory], causal, so that the first memory is read and the last written:

        [·, H, m'] = RMSNorm(blocks([m, E(x), m + e])),   m' is the memory of the next segment

    The first m is learned, and e tells what is to be written from what is read. Gradients flow through all
    segments of a call. Source: Bulatov et al. (arXiv 2207.06881).
    """

    def __init__(self, config: RecurrentMemoryConfig):
        check_instance("config", config, RecurrentMemoryConfig)
        super().__init__(config)
        shape = (config.memory_tokens, config.d_model)
        self.first = nn.Parameter(torch.randn(shape))
        self.written = nn.Parameter(torch.randn(shape))

    def _chunk(self, ids: Tensor, blocks: list, memory: RecurrentMemoryState, count: int, whole: int):
        old, length = memory.memory, ids.shape[1]
        x = torch.cat((old, self.embedding(ids), old + self.written), 1)
        for block in self.blocks:
            x, _ = block(x)
        x, size = self.norm(x), self.config.memory_tokens
        hidden = x[:, size : size + length]
        return hidden, *(
            (None, None) if count < length else ([], memory._replace(memory=own(x[:, size + length :])))
        )

    def init_state(self, batch: int) -> list:
        batch, whole = check_int("batch", batch, 0), {"device": self.first.device, "dtype": torch.int32}
        first = own(self.first.expand(batch, -1, -1))
        tokens = torch.zeros(batch, self.config.chunk, **whole)
        return [RecurrentMemoryState(first, tokens, torch.zeros(batch, **whole))]

    def state_size(self, length: int) -> int:
        check_int("length", length, 0)
        return sum(x[0].numel() for x in self.init_state(1)[0])

    def flops_per_token(self, length: int) -> float:
        """Of a token that is read in whole segments: its memory's tokens are work too."""
        c = self.config
        seen = c.chunk + 2 * c.memory_tokens
        work = super().flops_per_token(seen) - 2 * self.embedding.weight.numel()
        return work * seen / c.chunk + 2 * self.embedding.weight.numel()
