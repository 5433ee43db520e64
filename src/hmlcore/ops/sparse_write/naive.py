"""The law of the sparse write, offer by offer."""

import math

import torch
from torch import Tensor

from hmlcore.ops.sparse_write.slots import Fate, Offers, Slots, check_write, similarities


def naive_sparse_write(slots: Slots, offers: Offers, worth: Tensor, merge: float = 0.9) -> tuple[Tensor, ...]:
    """Write open offers into their buckets; in each bucket of each stream, by itself:

        1  An offer that resembles a later one (cosine above `merge`) is merged into the latest such, which may
           be merged on: the newest speaks for them.
        2  One that is left and resembles a slot is merged into the nearest; of several the nearest to it, the
           later of equals. The slot takes its key, value, id and time, and keeps the larger priority.
        3  The others are ranked by priority, the later of equals first, and the slots that no merge has taken
           by worth, empty ones first. The r-th offer takes the r-th slot, and drives out what stood there;
           offers beyond the last slot are lost.

    So no slot is written twice, and nothing depends on the order in which the offers lie in memory.

    Args: worth [B, N, W] of what the slots hold. Returns: the fields of :class:`Slots`, then of :class:`Fate`.
    """
    check_write(slots, offers, worth)
    among, stored = (x.tolist() for x in similarities(slots, offers))
    streams = [
        _stream(b, slots, offers, worth, among[b], stored[b], merge) for b in range(len(offers.keys))
    ]  # fmt: skip
    return tuple(map(torch.stack, zip(*streams, strict=True)))


def _stream(b, slots: Slots, offers: Offers, worth: Tensor, among, stored, merge) -> tuple[Tensor, ...]:
    ways, time = slots.keys.shape[2], offers.time[b].tolist()
    bucket, priority = offers.bucket[b].tolist(), offers.priority[b].tolist()
    waiting = sorted((i for i, is_open in enumerate(offers.open[b].tolist()) if is_open), key=time.__getitem__)
    rows = {name: list(getattr(slots, name)[b].flatten(0, 1)) for name in Slots._fields}
    place, evicted, stands = [-1] * len(time), [-1] * len(time), [False] * len(time)
    for n in sorted({bucket[i] for i in waiting}):
        here = [i for i in waiting if bucket[i] == n]
        into = {i: max((j for j in here if time[j] > time[i] and among[i][j] > merge), key=time.__getitem__,
                       default=i) for i in here}  # fmt: skip
        for _ in here:
            into = {i: into[j] for i, j in into.items()}
        left = [i for i in here if into[i] == i]
        cost = worth[b, n].tolist()
        held = [int(x) for x in slots.time[b, n]]
        taken = _claims(left, stored, merge)
        fresh = sorted((i for i in left if i not in taken), key=lambda i: (-priority[i], -time[i]))
        free = [w for w in range(ways) if w not in taken.values()]
        free.sort(key=lambda w: (cost[w] if held[w] >= 0 else -math.inf, w))
        for i, w in [*taken.items(), *zip(fresh, free, strict=False)]:
            merged, at = i in taken, n * ways + w
            evicted[i], stands[i] = -1 if merged else held[w], True
            count = sum(j == i for j in into.values())
            _fill(rows, at, b, i, offers, merged, count, max(stored[i]))
            for j in here:
                place[j] = at if into[j] == i else place[j]
    shaped = [torch.stack(rows[name]).unflatten(0, slots.keys.shape[1:3]) for name in Slots._fields]
    fate = Fate(
        torch.tensor(place, device=worth.device), torch.tensor(evicted, device=worth.device),
        torch.tensor(stands, dtype=torch.bool, device=worth.device),
    )  # fmt: skip
    return *shaped, *fate


def _claims(left: list[int], stored, merge: float) -> dict[int, int]:
    """Offer → way that it is merged into; `left` is ordered by time."""
    best: dict[int, tuple[float, int]] = {}
    for i in left:
        near = max(stored[i])
        way = stored[i].index(near)
        if near > merge and near >= best.get(way, (-math.inf, -1))[0]:
            best[way] = near, i
    return {i: way for way, (_, i) in best.items()}


def _fill(rows, at: int, b: int, i: int, offers: Offers, merged: bool, count: int, nearest: float) -> None:
    """Put offer i of stream b into the slot `at`."""
    for name in ("keys", "values", "time", "ids"):
        rows[name][at] = getattr(offers, name)[b, i].to(rows[name][at].dtype)
    priority, hits = rows["priority"][at], rows["hits"][at]
    new = offers.priority[b, i].detach().to(priority.dtype)
    rows["priority"][at] = torch.maximum(priority, new) if merged else new
    rows["hits"][at] = torch.full_like(hits, count) + (hits if merged else 0)
    if not merged:
        rows["novelty"][at] = torch.full_like(rows["novelty"][at], 1 - nearest if nearest > -math.inf else 1)
