"""What a sparse memory carries from call to call."""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.models.sparse.controller import Control
from hmlcore.models.sparse.gates import Stats
from hmlcore.ops.sparse_write import Slots


class SparseState(NamedTuple):
    """The slots, what is known of the chunk that is under way, and what the next one needs of the last.

    The blocks' states beside it are those at the beginning of the chunk: whoever goes on reads the chunk again
    from there, in the same shapes, and so comes to the same bits.
    """

    keys: Tensor  # [B, N, W, d], as in Slots
    values: Tensor
    priority: Tensor
    novelty: Tensor
    time: Tensor
    hits: Tensor
    ids: Tensor
    tokens: Tensor  # [B, U] int32, of the chunk under way; what was not read yet is 0
    filled: Tensor  # [B] int32, how many those are
    chunks: Tensor  # [B] int32, how many were written
    last_key: Tensor  # [B, d], of the last token before the chunk
    last_bucket: Tensor  # [B, lanes] int32
    last_read: Tensor  # [B, d]
    last_hidden: Tensor  # [B, d_model], which says what was expected next
    last_alone: Tensor  # [B, d_model], the same without the memory
    last_id: Tensor  # [B] int32
    mean: Tensor  # [B, C], as in Stats
    var: Tensor
    seen: Tensor
    theta: Tensor  # [B], as in Control
    slope: Tensor
    begun: Tensor

    @property
    def slots(self) -> Slots:
        """The memory."""
        return Slots(*self[: len(Slots._fields)])

    @property
    def stats(self) -> Stats:
        """What the gate has followed."""
        return Stats(self.mean, self.var, self.seen)

    @property
    def control(self) -> Control:
        """What holds the density."""
        return Control(self.theta, self.slope, self.begun)

    def bytes(self) -> int:
        """Of one sequence."""
        return sum(x[:1].numel() * x.element_size() for x in self)


def empty_state(
    batch: int, slots: Slots, chunk: int, d_model: int, lanes: int, strata: int, device, dtype
) -> SparseState:
    """That of sequences of which nothing was read."""
    numbers, whole = {"device": device, "dtype": dtype}, {"device": device, "dtype": torch.int32}
    wide = {"device": device, "dtype": torch.promote_types(dtype or torch.float32, torch.float32)}
    width = slots.keys.shape[-1]
    return SparseState(
        *slots,
        tokens=torch.zeros(batch, chunk, **whole), filled=torch.zeros(batch, **whole),
        chunks=torch.zeros(batch, **whole), last_key=torch.zeros(batch, width, **numbers),
        last_bucket=torch.zeros(batch, lanes, **whole), last_read=torch.zeros(batch, width, **numbers),
        last_hidden=torch.zeros(batch, d_model, **numbers), last_alone=torch.zeros(batch, d_model, **numbers),
        last_id=torch.zeros(batch, **whole),
        **{name: torch.zeros(batch, strata, **wide) for name in ("mean", "var", "seen")},
        **{name: torch.zeros(batch, **wide) for name in ("theta", "slope", "begun")},
    )  # fmt: skip
