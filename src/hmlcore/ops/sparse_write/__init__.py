"""A sparse write: few of many offers go into slots of their buckets, whatever order a device works in."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.self_check import form_error
from hmlcore.ops.sparse_write.chunk import chunk_sparse_write
from hmlcore.ops.sparse_write.naive import naive_sparse_write
from hmlcore.ops.sparse_write.slots import Fate, Offers, Slots, empty_slots, gather_buckets

__all__ = [
    "Fate", "Offers", "Slots", "chunk_sparse_write", "empty_slots", "gather_buckets", "naive_sparse_write",
    "random_offers", "sparse_write",
]  # fmt: skip


def sparse_write(slots: Slots, offers: Offers, worth: Tensor, merge: float = 0.9) -> tuple[Slots, Fate]:
    """The op through whichever form suits the device; arguments as :func:`naive_sparse_write`."""
    form = backend.choose("sparse_write", slots.keys.device).form
    found = form.function(slots, offers, worth, merge)
    return Slots(*found[: len(Slots._fields)]), Fate(*found[len(Slots._fields) :])


def random_offers(
    batch: int, count: int, buckets: int, d: int, e: int, *, seed: int = 0, begin: int = 0, device="cpu",
    dtype: torch.dtype = torch.float32, alike: float = 0.3,
) -> Offers:  # fmt: skip
    """Made-up offers, the share `alike` of which nearly repeats the key of another; three of four are open."""
    g = torch.Generator().manual_seed(seed)
    keys = F.normalize(torch.randn(batch, count, d, generator=g, dtype=torch.float64), dim=-1)
    other = torch.randint(count, (batch, count), generator=g)
    bucket = torch.randint(buckets, (batch, count), generator=g)
    repeats = torch.rand(batch, count, generator=g) < alike
    of = torch.where(repeats, other, torch.arange(count))
    keys = keys.gather(1, of[..., None].expand_as(keys))
    keys = F.normalize(keys + 0.02 * torch.randn(keys.shape, generator=g, dtype=torch.float64), dim=-1)
    return Offers(
        keys.to(device, dtype),
        torch.randn(batch, count, e, generator=g, dtype=torch.float64).to(device, dtype),
        bucket.gather(1, of).to(device), (torch.rand(batch, count, generator=g) < 0.75).to(device),
        torch.rand(batch, count, generator=g, dtype=torch.float64).to(device, dtype),
        begin + torch.arange(count).expand(batch, count).to(device),
        torch.randint(99, (batch, count), generator=g).to(device),
    )  # fmt: skip


def _self_check(form, naive, device) -> float:
    """Slots after a write into what an earlier one left, and gradients of keys and values."""
    first, second = (random_offers(2, 24, 3, 8, 5, seed=s, begin=24 * s, device=device) for s in (0, 1))
    made = naive(empty_slots(2, 3, 4, 8, 5, device), first, torch.zeros(2, 3, 4, device=device))
    slots = Slots(*made[: len(Slots._fields)])

    def call(function, *tensors):
        keys, values, *offered = tensors
        given = slots._replace(keys=keys, values=values)
        offers = second._replace(keys=offered[0], values=offered[1])
        return tuple(map(torch.Tensor.float, function(given, offers, slots.priority)))

    return form_error(form, naive, (slots.keys, slots.values, second.keys, second.values), call)


backend.register(
    "sparse_write",
    [
        backend.Form("chunk", chunk_sparse_write, backend.anywhere, "sorts and scatters, any device"),
        backend.Form("naive", naive_sparse_write, backend.anywhere, "one offer at a time, the law"),
    ],
    _self_check,
)
