"""What a memory of slots holds, what is offered to it, and what became of each offer."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.errors import require


class Slots(NamedTuple):
    """N buckets of W slots (ways) for each of B streams; a slot is empty where its time is −1."""

    keys: Tensor  # [B, N, W, d], of length 1
    values: Tensor  # [B, N, W, e]
    priority: Tensor  # [B, N, W], the largest that was offered for this slot
    novelty: Tensor  # [B, N, W], 1 − cosine to what stood nearest when it was written
    time: Tensor  # [B, N, W] int32, of the offer that stands here
    hits: Tensor  # [B, N, W] int32, how many offers went into it
    ids: Tensor  # [B, N, W] int32, whatever the offer is called


class Offers(NamedTuple):
    """U offers to each of B streams; what is not open is not written. Times of one stream are distinct."""

    keys: Tensor  # [B, U, d], of length 1
    values: Tensor  # [B, U, e]
    bucket: Tensor  # [B, U], 0 … N − 1
    open: Tensor  # [B, U], true where it may be written
    priority: Tensor  # [B, U]
    time: Tensor  # [B, U]
    ids: Tensor  # [B, U]


class Fate(NamedTuple):
    """What became of each offer."""

    place: Tensor  # [B, U] slot n · W + w that it went into, by itself or merged; −1: none
    evicted: Tensor  # [B, U] time of what it drove out; −1: nothing
    stands: Tensor  # [B, U] whether the slot holds it and not one that it was merged into


def empty_slots(
    batch: int, buckets: int, ways: int, d: int, e: int, device=None, dtype: torch.dtype | None = None
) -> Slots:
    """A memory without contents; `dtype` is that of keys, values, priority and novelty."""
    shape = (batch, buckets, ways)
    numbers = {"device": device, "dtype": dtype}
    whole = {"device": device, "dtype": torch.int32}
    return Slots(
        torch.zeros(*shape, d, **numbers), torch.zeros(*shape, e, **numbers),
        torch.zeros(shape, **numbers), torch.zeros(shape, **numbers),
        torch.full(shape, -1, **whole), torch.zeros(shape, **whole), torch.full(shape, -1, **whole),
    )  # fmt: skip


def check_write(slots: Slots, offers: Offers, worth: Tensor) -> None:
    """Refuse shapes that do not fit each other."""
    b, n, w, d = slots.keys.shape
    e, u = slots.values.shape[-1], offers.keys.shape[1]
    wanted = dict.fromkeys(Offers._fields[2:], (b, u)) | {"keys": (b, u, d), "values": (b, u, e)}
    for name, shape in wanted.items():
        found = tuple(getattr(offers, name).shape)
        require(found == shape, f"{name} of the offers must be {shape}, got {found}")
    require(tuple(worth.shape) == (b, n, w), f"worth must be [B, N, W] = {(b, n, w)}, got {tuple(worth.shape)}")


def similarities(slots: Slots, offers: Offers) -> tuple[Tensor, Tensor]:
    """Cosines of offers with each other [B, U, U] and with the slots of their bucket [B, U, W], −∞ where empty.

    Every form decides by these same numbers, so that no rounding of its own sets it apart.
    """
    keys = offers.keys.detach()
    width = torch.promote_types(keys.dtype, torch.float32)
    keys, rows = keys.to(width), offers.bucket[..., None].long()
    near = gather_buckets(slots.keys.detach(), rows).to(width)
    occupied = gather_buckets((slots.time >= 0)[..., None], rows)[..., 0]
    stored = torch.einsum("bud,buwd->buw", keys, near).masked_fill(~occupied, -torch.inf)
    return keys @ keys.mT, stored


def gather_buckets(x: Tensor, buckets: Tensor) -> Tensor:
    """The slots of some buckets: x [B, N, W, d] at buckets [B, U, L] → [B, U, L · W, d]."""
    batch, count, ways, d = x.shape
    rows = buckets + count * torch.arange(batch, device=x.device)[:, None, None]
    # Whole rows: an index by two tensors is a fifth as fast.
    return F.embedding(rows, x.reshape(batch * count, ways * d)).view(*rows.shape[:2], rows.shape[2] * ways, d)
