"""A backbone with a sparse memory: its last block reads slots, and of each chunk a few tokens are written."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.checks import check_instance, check_int
from hmlcore.errors import HmlcoreError
from hmlcore.layers.trace import Trace
from hmlcore.models.chunked import Chunked
from hmlcore.models.sparse.config import SparseConfig
from hmlcore.models.sparse.memory import DTYPES, Cues, Seen, SlotMemory, Written
from hmlcore.models.sparse.state import SparseState, empty_state
from hmlcore.ops.packing import at_ends
from hmlcore.ops.sparse_write import empty_slots


class Sparse(Chunked):
    """A :class:`~hmlcore.models.Backbone` whose last block, behind its mixer, reads a memory of slots:

        x ← x + mixer(x);   x ← x + W_o read(x);   x ← x + MLP(x)

    A token reads the slots that earlier chunks have written. When a chunk of U tokens is whole, some of them
    are written, all at once: for token x_t the key of what stood before it, k(h_{t−1}), with its own value. So
    a slot is found by the cue and says what came next.

    Chunks lie as in every :class:`~hmlcore.models.chunked.Chunked`: decoding is reading to the bit, and a
    single step costs what a chunk costs. Of training, gradients flow from reads to the writes that made them.

    The state is that of the blocks, one each, and a :class:`SparseState`; a row's memory is its own.
    Raises: HmlcoreError for ids beyond the vocabulary, and a state of another chunk size.
    """

    def __init__(self, config: SparseConfig):
        check_instance("config", config, SparseConfig)
        super().__init__(config)
        self.memory = SlotMemory(config)
        self.trace: Trace | None = None  # set by `layers.trace.recording`

    def with_memory(self, **changes: Any) -> "Sparse":
        """A copy with other fields of the configuration, and the same weights where both have them.

        What is written may so be decided anew after training, by another gate or at another density.
        Raises: HmlcoreError for a value that a configuration refuses.
        """
        try:
            config = replace(self.config, **changes)
        except TypeError as error:
            raise HmlcoreError(f"changes must be fields of SparseConfig: {error}") from error
        made = config.build().to(self.embedding.weight.device, self.embedding.weight.dtype)
        mine, own = self.state_dict(), made.state_dict()
        kept = {name: x for name, x in mine.items() if name in own and own[name].shape == x.shape}
        made.load_state_dict(own | kept)
        return made.train(self.training)

    def _chunk(self, ids: Tensor, blocks: list, memory: SparseState, count: int, whole: int):
        """One chunk from its beginning, of which `count` tokens are there: hidden states, and where all are the
        blocks' states and the memory after it (else None)."""
        x, states = self.embedding(ids), []
        for block, before in zip(self.blocks[:-1], blocks[:-1], strict=True):
            x, after = block(x, before)
            states.append(after)
        last = self.blocks[-1]
        y, after = last.mixer(last.mixer_norm(x), blocks[-1])
        alone = x + y
        seen = self.memory.read(alone, ids, memory.slots)
        x = alone + self.memory.out_proj(seen.read)
        hidden = self.norm(x + last.mlp(last.mlp_norm(x)))
        if count < ids.shape[1]:
            return hidden, None, None
        if self.memory.gate.needs_alone:
            with torch.no_grad():
                alone = self.norm(alone + last.mlp(last.mlp_norm(alone)))
        hidden, wrote = self._write(ids, hidden, alone, seen, memory, whole)
        return hidden, [*states, after], wrote

    def _write(self, ids, hidden, alone, seen: Seen, memory: SparseState, whole: int):
        """Hidden states, and the memory after the chunk of ids [B, U]."""
        gate, width = self.memory.gate, self.config.chunk
        cues = Cues(
            _before(memory.last_key, seen.keys), _before(memory.last_bucket, seen.buckets),
            _before(memory.last_read, seen.read).detach(), _before(memory.last_id, ids),
        )  # fmt: skip
        position = memory.chunks.long()[:, None] * width + torch.arange(width, device=ids.device)
        with torch.no_grad():
            after = self._surprise(_before(memory.last_hidden, hidden), ids)
            first = self._surprise(_before(memory.last_alone, alone), ids) if gate.needs_alone else None
        written = self.memory.write(
            seen, cues, ids, position, (first, after), memory.slots, memory.stats, memory.control
        )
        if self.training and self.config.contrast and torch.is_grad_enabled():
            loss = self.memory.contrast(cues, ids, memory.slots) * (self.config.contrast / whole)
            hidden = _Attached.apply(hidden, loss)
        self._record(ids, position, after, written)
        return hidden, SparseState(
            *written.slots, tokens=memory.tokens, filled=memory.filled, chunks=memory.chunks + 1,
            last_key=at_ends(seen.keys), last_bucket=at_ends(seen.buckets).int(), last_read=at_ends(seen.read),
            last_hidden=at_ends(hidden.detach()), last_alone=at_ends(alone.detach()),
            last_id=at_ends(ids).int(),
            **written.stats._asdict(), **written.control._asdict(),
        )  # fmt: skip

    def _surprise(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """−log p of ids [B, U] by the hidden states before each, in nats."""
        logits = self.logits(hidden).float().flatten(0, 1)  # words last: a softmax over strides is slow
        return F.cross_entropy(logits, ids.flatten(), reduction="none").view_as(ids)

    def _record(self, ids: Tensor, position: Tensor, surprise: Tensor, written: Written) -> None:
        if self.trace is None:
            return
        batch, count = ids.shape
        fate = {name: x.view(batch, -1, count).mT for name, x in written.fate._asdict().items()}
        self.trace.add(
            ids=ids, position=position, surprise=surprise, score=written.score, open=written.open,
            theta=written.control.theta[:, None].expand(batch, count), **fate,
        )  # fmt: skip

    def init_state(self, batch: int) -> list:
        batch, c, weight = check_int("batch", batch, 0), self.config, self.embedding.weight
        slots = empty_slots(
            batch, c.buckets, c.ways, c.slot_dim, c.slot_dim, weight.device, DTYPES[c.slot_dtype]
        )
        lanes, strata = self.memory.address.write_lanes, self.memory.gate.strata
        own = empty_state(batch, slots, c.chunk, c.d_model, lanes, strata, weight.device, weight.dtype)
        return [*super().init_state(batch), own]

    def state_size(self, length: int) -> int:
        """Floats of state per sequence after `length` tokens; of the memory, its bytes over four."""
        return super().state_size(length) + -(-self.init_state(1)[-1].bytes() // 4)

    def flops_per_token(self, length: int) -> float:
        """Floating-point operations of a token that is read in whole chunks; one that is decoded by itself
        costs U times as many. The heads by which the gate is surprised count."""
        c, memory = self.config, self.memory
        heads = 1 + memory.gate.needs_alone
        maps = sum(x.weight.numel() for x in (memory.to_key, memory.to_value, memory.out_proj))
        slots = c.ways * (memory.address.read_lanes + memory.address.write_lanes + 1) * c.slot_dim
        merging = c.chunk * c.slot_dim * memory.address.copies
        mlp = sum(p.numel() for p in self.blocks[-1].mlp.parameters()) * memory.gate.needs_alone
        work = maps + slots + c.top * c.slot_dim + merging + mlp + heads * self.embedding.weight.numel()
        return super().flops_per_token(length) + 2 * work


class _Attached(torch.autograd.Function):
    """x, whose gradient brings that of a further loss with it: the loss joins whatever is minimised."""

    @staticmethod
    def forward(ctx, x: Tensor, loss: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, grad.new_ones((), dtype=torch.float32)


def _before(last: Tensor, x: Tensor) -> Tensor:
    """x [B, U, ...] moved one token on, `last` [B, ...] first."""
    return torch.cat((last[:, None].to(x.dtype), x[:, :-1]), 1)
