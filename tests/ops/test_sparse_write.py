"""The sparse write: the fast form is the law, no order of a device matters, nothing kept is lost."""

import itertools

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.ops.sparse_write import (
    Offers,
    Slots,
    chunk_sparse_write,
    empty_slots,
    naive_sparse_write,
    random_offers,
    sparse_write,
)

COUNT, BUCKETS, D, E = 40, 5, 6, 3


def streams(form, ways, rounds=4, dtype=torch.float32, shuffle=None):
    """The slots and fates after some writes, the worth of a slot its priority and age."""
    slots, fates = empty_slots(2, BUCKETS, ways, D, E, dtype=dtype), []
    for r in range(rounds):
        offers = random_offers(2, COUNT, BUCKETS, D, E, seed=r, begin=COUNT * r, dtype=dtype)
        order = torch.arange(COUNT) if shuffle is None else torch.randperm(COUNT, generator=shuffle)
        offers = Offers(*(x[:, order] for x in offers))
        found = form(slots, offers, slots.priority + 0.01 * slots.time)
        slots = Slots(*found[:7])
        fates.append(tuple(x[:, order.argsort()] for x in found[7:]))
    return slots, fates


@pytest.mark.parametrize("ways", [1, 3, 20])
def test_the_fast_form_is_the_law_to_the_bit(ways):
    (one, fates), (other, wanted) = (streams(form, ways) for form in (chunk_sparse_write, naive_sparse_write))
    for name, a, b in zip(Slots._fields, one, other, strict=True):
        assert torch.equal(a, b), name
    assert all(torch.equal(a, b) for x, y in zip(fates, wanted, strict=True) for a, b in zip(x, y, strict=True))
    # The cases occur: merges, evictions, offers that are lost.
    places, evicted = (torch.cat([f[i] for f in fates], 1) for i in (0, 1))
    assert (one.hits > 1).any() and (places >= 0).any() and (ways == 20 or (evicted >= 0).any())
    assert ways > 1 or (places < 0).sum() > (~random_offers(2, COUNT, BUCKETS, D, E).open).sum()


def test_the_order_in_memory_does_not_matter():
    plain, fates = streams(chunk_sparse_write, 3, dtype=torch.float64)
    for seed in range(3):
        found, mixed = streams(
            chunk_sparse_write, 3, dtype=torch.float64, shuffle=torch.Generator().manual_seed(seed)
        )
        assert all(torch.equal(a, b) for a, b in zip(plain, found, strict=True))
        assert all(
            torch.equal(a, b) for x, y in zip(fates, mixed, strict=True) for a, b in zip(x, y, strict=True)
        )


def test_every_open_offer_is_in_its_place_or_counted_there():
    slots, fates = streams(chunk_sparse_write, 20, rounds=1)
    offers = random_offers(2, COUNT, BUCKETS, D, E)
    place, _, stands = fates[0]
    assert torch.equal(place >= 0, offers.open)  # twenty ways have room for all
    assert int(slots.hits.sum()) == int(offers.open.sum())
    assert int(stands.sum()) == int((slots.time >= 0).sum())
    for b, u in itertools.product(range(2), range(COUNT)):
        if offers.open[b, u]:
            n, w = divmod(int(place[b, u]), 20)
            assert n == offers.bucket[b, u]
            # The one that stands there is the offer itself, or a later one that it was merged into.
            assert slots.time[b, n, w] >= offers.time[b, u]
            stands = int(slots.time[b, n, w])
            assert torch.equal(slots.keys[b, n, w], offers.keys[b, stands])
            assert torch.equal(slots.values[b, n, w], offers.values[b, stands])


def one(keys, priority, bucket=None):
    """Offers of one stream with one value each, its number."""
    count = len(keys)
    return Offers(
        torch.tensor(keys)[None], torch.arange(float(count))[None, :, None],
        torch.zeros(1, count, dtype=torch.long) if bucket is None else torch.tensor([bucket]),
        torch.ones(1, count, dtype=torch.bool), torch.tensor([priority]), torch.arange(count)[None],
        torch.arange(count)[None],
    )  # fmt: skip


@pytest.mark.parametrize("form", [chunk_sparse_write, naive_sparse_write])
def test_what_the_rules_say_by_hand(form):
    axes = torch.eye(4).tolist()
    slots = Slots(*form(empty_slots(1, 1, 2, 4, 1), one([axes[0], axes[1], axes[0]], [1.0, 2.0, 0.5]),
                        torch.zeros(1, 1, 2))[:7])  # fmt: skip
    # The third repeats the first and speaks for both; the second has the higher priority and goes first.
    assert slots.values.flatten().tolist() == [1, 2] and slots.hits.flatten().tolist() == [1, 2]
    assert slots.novelty.flatten().tolist() == [1, 1]
    offers = one([axes[1], axes[2], axes[3]], [0.1, 0.2, 0.3])
    offers = offers._replace(time=offers.time + 3, values=offers.values + 10)
    found = form(slots, offers, torch.tensor([[[5.0, 1.0]]]))
    after, place, evicted = Slots(*found[:7]), found[7], found[8]
    # The first is merged into the slot of its key; the best of the others takes the other slot; one is lost.
    assert after.values.flatten().tolist() == [10, 12] and after.hits.flatten().tolist() == [2, 1]
    assert after.priority.flatten().tolist() == pytest.approx([2.0, 0.3])
    assert place.tolist() == [[0, -1, 1]] and evicted.tolist() == [[-1, -1, 2]]


def test_the_least_valuable_goes_and_empty_slots_first():
    axes = torch.eye(4).tolist()
    full = Slots(
        *chunk_sparse_write(empty_slots(1, 1, 3, 4, 1), one(axes[:2], [1.0, 1.0]), torch.zeros(1, 1, 3))[:7]
    )
    offers = one(axes[2:], [1.0, 2.0])._replace(time=torch.tensor([[5, 6]]))
    after, fate = sparse_write(full, offers, torch.tensor([[[0.5, 0.2, 9.0]]]))
    assert after.time.flatten().tolist() == [1, 5, 6]  # the empty third slot first, for the better offer
    assert fate.evicted.tolist() == [[0, -1]]


def test_gradients_reach_what_was_written_and_what_was_kept():
    found = []
    for form in (chunk_sparse_write, naive_sparse_write):
        first = random_offers(1, 8, 2, 4, 3, dtype=torch.float64)
        before = empty_slots(1, 2, 3, 4, 3, dtype=torch.float64)
        slots = Slots(*naive_sparse_write(before, first, before.priority)[:7])
        second = random_offers(1, 8, 2, 4, 3, seed=1, begin=8, dtype=torch.float64)
        leaves = [x.clone().requires_grad_() for x in (slots.keys, slots.values, second.keys, second.values)]
        made = form(slots._replace(keys=leaves[0], values=leaves[1]),
                    second._replace(keys=leaves[2], values=leaves[3]), slots.priority)  # fmt: skip
        found.append(torch.autograd.grad(made[0].sin().sum() + made[1].cos().sum(), leaves))
        assert all(g.abs().sum() > 0 for g in found[-1])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_no_offers_and_no_streams():
    slots = empty_slots(2, 3, 2, D, E)
    closed = random_offers(2, 4, 3, D, E)._replace(open=torch.zeros(2, 4, dtype=torch.bool))
    after, fate = sparse_write(slots, closed, slots.priority)
    assert all(torch.equal(a, b) for a, b in zip(after, slots, strict=True)) and (fate.place == -1).all()
    none = empty_slots(0, 3, 2, D, E)
    after, fate = sparse_write(none, random_offers(0, 4, 3, D, E), none.priority)
    assert after.keys.shape == (0, 3, 2, D) and fate.place.shape == (0, 4)


def test_refusals():
    slots, offers = empty_slots(2, 3, 2, D, E), random_offers(2, 4, 3, D, E)
    with pytest.raises(HmlcoreError, match=r"values of the offers must be \(2, 4, 3\), got \(2, 4, 2\)"):
        sparse_write(slots, offers._replace(values=offers.values[..., :2]), slots.priority)
    with pytest.raises(HmlcoreError, match=r"bucket of the offers must be \(2, 4\), got \(2, 3\)"):
        sparse_write(slots, offers._replace(bucket=offers.bucket[:, :3]), slots.priority)
    with pytest.raises(HmlcoreError, match=r"worth must be \[B, N, W\] = \(2, 3, 2\), got \(2, 3\)"):
        sparse_write(slots, offers, slots.priority[..., 0])
