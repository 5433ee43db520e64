"""A backbone with a sparse memory: its last block reads slots, and of each chunk a few tokens are written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.checks import check_instance, check_int
from hmlcore.errors import HmlcoreError, require
from hmlcore.layers.trace import Trace
from hmlcore.models.backbone import Backbone, map_state
from hmlcore.models.sparse.config import SparseConfig
from hmlcore.models.sparse.memory import DTYPES, Cues, Seen, SlotMemory, Written
from hmlcore.models.sparse.state import SparseState, empty_state
from hmlcore.ops.finite import visible
from hmlcore.ops.packing import at_ends
from hmlcore.ops.sparse_write import empty_slots


class Sparse(Backbone):
    """A :class:`Backbone` whose last block, behind its mixer, reads a memory of slots:

        x ← x + mixer(x);   x ← x + W_o read(x);   x ← x + MLP(x)

    A token reads the slots that earlier chunks have written. When a chunk of U tokens is whole, some of them
    are written, all at once: for token x_t the key of what stood before it, k(h_{t−1}), with its own value. So
    a slot is found by the cue and says what came next.

    Chunks lie at multiples of U from the first token on, however the text is cut into calls: a call that ends
    within one keeps its tokens in the state, and the next reads the chunk again from its beginning, in the same
    shapes. One pass, any chunking and single steps are therefore equal to the bit where an operation is a
    function of its arguments, as on a CPU; a single step costs what a chunk costs. Of training, gradients flow
    from reads to the writes that made them.

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

    def hidden(self, tokens: Tensor, state: list | None = None, cu_seqlens: Any = None) -> tuple[Tensor, list]:
        require(
            cu_seqlens is None, "cu_seqlens must be None: a sparse memory keeps no documents apart in one row"
        )
        return self._told(tokens, state, lambda hidden: hidden)

    def forward(self, tokens: Tensor, state: list | None = None, cu_seqlens: Any = None) -> tuple[Tensor, list]:
        require(
            cu_seqlens is None, "cu_seqlens must be None: a sparse memory keeps no documents apart in one row"
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
        return F.cross_entropy(self.logits(hidden).float().mT, ids, reduction="none")

    def _record(self, ids: Tensor, position: Tensor, surprise: Tensor, written: Written) -> None:
        if self.trace is None:
            return
        batch, count = ids.shape
        fate = {name: x.view(batch, -1, count).mT for name, x in written.fate._asdict().items()}
        self.trace.add(
            ids=ids, position=position, surprise=surprise, score=written.score, open=written.open,
            theta=written.control.theta[:, None].expand(batch, count), **fate,
        )  # fmt: skip

    def _check_ids(self, tokens: Tensor) -> None:
        if visible(tokens) and tokens.numel():
            low, high = (int(x) for x in tokens.aminmax())
            size = self.config.vocab_size
            require(
                low >= 0 and high < size,
                f"tokens must lie within 0 … {size - 1}, got some within {low} … {high}",
            )

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
        merging = c.chunk * c.slot_dim * memory.address.write_lanes
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
