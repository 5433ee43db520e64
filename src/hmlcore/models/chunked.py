"""A backbone whose memory is written chunk by chunk, so that decoding is reading to the bit."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.errors import require
from hmlcore.models.backbone import Backbone, map_state
from hmlcore.ops.finite import visible


class Chunked(Backbone, ABC):
    """A :class:`Backbone` with a memory beside its blocks' that changes when a chunk of U tokens is whole.

    Chunks lie at multiples of U from the first token on, however the text is cut into calls: a call that ends
    within one keeps its tokens in the state, and the next reads the chunk again from its beginning, in the same
    shapes. One pass, any chunking and single steps are therefore equal to the bit where an operation is a
    function of its arguments, as on a CPU; a single step costs what a chunk costs.

    The configuration has `chunk`; the last of the state is a NamedTuple with `tokens` [B, U] int32, those of
    the chunk under way, and `filled` [B] int32, how many they are. What stands before it is of the chunk's
    beginning.
    Raises: HmlcoreError for ids beyond the vocabulary, and a state of another chunk size.
    """

    config: Any

    @abstractmethod
    def _chunk(
        self, ids: Tensor, blocks: list, memory: Any, count: int, whole: int
    ) -> tuple[Tensor, list | None, Any]:
        """One chunk [B, U] from its beginning, of which `count` tokens are there, one of `whole` in this call:
        hidden states, and where all are the blocks' states and the memory after it (else None)."""

    def hidden(self, tokens: Tensor, state: list | None = None, cu_seqlens: Any = None) -> tuple[Tensor, list]:
        require(
            cu_seqlens is None,
            "cu_seqlens must be None: chunks keep no documents apart in one row",
        )
        return self._told(tokens, state, lambda hidden: hidden)

    def forward(self, tokens: Tensor, state: list | None = None, cu_seqlens: Any = None) -> tuple[Tensor, list]:
        require(
            cu_seqlens is None,
            "cu_seqlens must be None: chunks keep no documents apart in one row",
        )
        return self._told(
            tokens, state, self.logits
        )  # the head sees whole chunks too, for the sake of its bits

    def step(self, token: Tensor, state: list) -> tuple[Tensor, list]:
        logits, state = self(token[:, None], state)
        return logits[:, 0], state

    def _told(self, tokens: Tensor, state: list | None, say: Callable[[Tensor], Tensor]) -> tuple[Tensor, list]:
        """`say` of the hidden states of tokens [B, T], and the new state; rows at one place of their chunk are
        read together."""
        require(tokens.ndim == 2, f"tokens must be [B, T], got shape {tuple(tokens.shape)}")
        self._check_ids(tokens)
        state = self.init_state(len(tokens)) if state is None else state
        chunk, found = self.config.chunk, state[-1].tokens.shape[1]
        require(found == chunk, f"state must be of chunks of {chunk} tokens, got one of {found}")
        fills = state[-1].filled.unique().tolist() or [0]
        parts, order = [], []
        for fill in fills:
            rows = (state[-1].filled == fill).nonzero()[:, 0]
            alike = state if len(fills) == 1 else map_state(lambda x, r=rows: x[r], state)
            parts.append(self._read(tokens if len(fills) == 1 else tokens[rows], alike, fill, say))
            order.append(rows)
        if len(fills) == 1:
            return parts[0]
        back = torch.cat(order).argsort()
        said, states = zip(*parts, strict=True)
        return torch.cat(said)[back], map_state(lambda *x: torch.cat(x)[back], *states)

    def _read(self, tokens: Tensor, state: list, fill: int, say) -> tuple[Tensor, list]:
        """`say` of tokens [B, T] after the `fill` that the chunk under way has, and the new state."""
        chunk, memory, blocks = self.config.chunk, state[-1], state[:-1]
        ids = torch.cat((memory.tokens[:, :fill].long(), tokens), 1)
        parts = []
        whole = max(1, ids.shape[1] // chunk)
        for part in ids.split(chunk, 1):
            count = part.shape[1]
            hidden, after, wrote = self._chunk(F.pad(part, (0, chunk - count)), blocks, memory, count, whole)
            parts.append(say(hidden)[:, :count])
            if wrote is not None and after is not None:
                blocks, memory = after, wrote
        left = ids.shape[1] % chunk
        kept = F.pad(ids[:, ids.shape[1] - left :], (0, chunk - left)).int()
        memory = memory._replace(tokens=kept, filled=torch.full_like(memory.filled, left))
        return torch.cat(parts, 1)[:, fill:], [*blocks, memory]

    def _check_ids(self, tokens: Tensor) -> None:
        if visible(tokens) and tokens.numel():
            low, high = (int(x) for x in tokens.aminmax())
            size = self.config.vocab_size
            require(
                low >= 0 and high < size,
                f"tokens must lie within 0 … {size - 1}, got some within {low} … {high}",
            )
