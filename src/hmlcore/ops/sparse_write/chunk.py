"""The sparse write of all offers at once: sorts and scatters, and no loop over tokens."""

import torch
from torch import Tensor

from hmlcore.ops.sparse_write.slots import Fate, Offers, Slots, check_write, similarities


def chunk_sparse_write(slots: Slots, offers: Offers, worth: Tensor, merge: float = 0.9) -> tuple[Tensor, ...]:
    """The same as ``naive_sparse_write``, to the bit; every scatter has unique places or takes a maximum."""
    check_write(slots, offers, worth)
    order = offers.time.argsort(1)
    offers = Offers(*(_at(x, order) for x in offers))
    among, stored = similarities(slots, offers)
    into, left = _merged(among, offers, merge)
    nearest, way = stored.max(-1)
    slot = offers.bucket.long() * slots.keys.shape[2] + way
    claims = _claimed(left & (nearest > merge), nearest, slot, worth)
    own = torch.where(claims, slot, _ranked(left & ~claims, claims, slot, offers, slots, worth))
    evicted = _at(slots.time.flatten(1).long(), own.clamp_min(0))
    evicted = torch.where(claims | (own < 0), -1, evicted)
    made = _filled(slots, offers, own, claims, into, nearest)
    fate = Fate(torch.where(offers.open, own.gather(1, into), -1), evicted, own >= 0)
    back = order.argsort(1)
    return *made, *(_at(x, back) for x in fate)


def _at(x: Tensor, places: Tensor) -> Tensor:
    """x [B, U, ...] at places [B, V]: [B, V, ...]."""
    return x[torch.arange(len(x), device=x.device)[:, None], places]


def _merged(among: Tensor, offers: Offers, merge: float) -> tuple[Tensor, Tensor]:
    """[B, U]: which offer each is merged into in the end, itself if none; and whether it stands for itself."""
    count = among.shape[1]
    number = torch.arange(count, device=among.device)
    together = (offers.bucket[:, :, None] == offers.bucket[:, None]) & offers.open[:, :, None]
    alike = together & offers.open[:, None] & (among > merge) & (number > number[:, None])
    into = torch.maximum(torch.where(alike, number, -1).amax(-1), number)
    for _ in range((count - 1).bit_length()):  # each time twice as far
        into = into.gather(1, into)
    return into, offers.open & (into == number)


def _claimed(wants: Tensor, nearest: Tensor, slot: Tensor, worth: Tensor) -> Tensor:
    """[B, U]: which offers are merged into their slot: of those that want it the nearest, then the latest."""
    size = worth.shape[1] * worth.shape[2]
    near = torch.where(wants, nearest, -torch.inf)
    best = near.new_full((len(near), size), -torch.inf).scatter_reduce(1, slot, near, "amax")
    first = wants & (nearest == best.gather(1, slot))
    number = torch.arange(slot.shape[1], device=slot.device).expand_as(slot)
    number = torch.where(first, number, -1)
    latest = number.new_full((len(near), size), -1).scatter_reduce(1, slot, number, "amax")
    return first & (number == latest.gather(1, slot))


def _ranked(fresh, claims, slot, offers: Offers, slots: Slots, worth: Tensor) -> Tensor:
    """[B, U]: the slot that each fresh offer takes, −1 if none: ranks within buckets meet ranks of slots."""
    (batch, count), (buckets, ways) = fresh.shape, worth.shape[1:]
    taken = torch.zeros(batch, buckets * ways, dtype=torch.int64, device=slot.device)
    taken = taken.scatter_reduce(1, slot, claims.long(), "amax").view(batch, buckets, ways) > 0
    cost = worth.masked_fill(slots.time < 0, -torch.inf).masked_fill(taken, torch.inf)
    cheapest = cost.argsort(dim=-1, stable=True)
    order = torch.arange(count - 1, -1, -1, device=slot.device).expand(batch, count)
    order = order.gather(1, offers.priority.gather(1, order).argsort(dim=1, descending=True, stable=True))
    bucket = torch.where(fresh, offers.bucket.long(), buckets)
    order = order.gather(1, bucket.gather(1, order).argsort(dim=1, stable=True))
    bucket = bucket.gather(1, order).contiguous()
    rank = torch.arange(count, device=slot.device) - torch.searchsorted(bucket, bucket)
    inside = bucket.clamp_max(buckets - 1)
    room = (~taken).sum(-1).gather(1, inside)
    enters = (bucket < buckets) & (rank < room)
    chosen = _at(cheapest, inside).gather(2, rank.clamp_max(ways - 1)[..., None])[..., 0]
    chosen = torch.where(enters, inside * ways + chosen, -1)
    return torch.empty_like(chosen).scatter(1, order, chosen)


def _filled(slots: Slots, offers: Offers, own: Tensor, claims: Tensor, into: Tensor, nearest: Tensor) -> Slots:
    """The slots after the write: each takes what comes from the one offer that has it, if there is one."""
    batch, buckets, ways = slots.time.shape
    size = buckets * ways
    stream = torch.arange(batch, device=own.device)[:, None]
    place = own % (size + 1)  # one slot more, for offers that have none
    count = torch.zeros_like(own).scatter_add(1, into, offers.open.long())
    novelty = torch.where(nearest > -torch.inf, 1 - nearest, 1)

    def put(name: str, given: Tensor) -> Tensor:
        old = getattr(slots, name).flatten(1, 2)
        given = given.to(old.dtype)
        if name in ("priority", "hits", "novelty"):  # of what an offer is merged into
            before = _at(old, own.clamp_min(0))
            both = {"priority": torch.maximum(before, given), "hits": before + given, "novelty": before}
            given = torch.where(claims, both[name], given)
        made = torch.cat((old, old[:, :1]), 1).index_put_((stream, place), given)
        return made[:, :size].contiguous().unflatten(1, (buckets, ways))

    given = {
        "keys": offers.keys, "values": offers.values, "priority": offers.priority.detach(), "novelty": novelty,
        "time": offers.time, "hits": count, "ids": offers.ids,
    }  # fmt: skip
    return Slots(*(put(name, given[name]) for name in Slots._fields))
