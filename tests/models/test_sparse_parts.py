"""Gates, the controller of density, addresses: what each one promises."""

import pytest
import torch
import torch.nn.functional as F

from hmlcore.models import SparseConfig
from hmlcore.models.sparse.addresses import build_address
from hmlcore.models.sparse.controller import Control, held
from hmlcore.models.sparse.gates import GATES, Evidence, Stats, build_gate, followed, standardised
from hmlcore.ops.hashing import mixed, uniform_of

V, D, U = 64, 6, 32


def evidence(seed=0, batch=2, start=0):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(V, (batch, U), generator=g)
    return Evidence(
        ids, ids.roll(1, 1), start + torch.arange(U).expand(batch, U), torch.randn(batch, U, D, generator=g),
        5 * torch.rand(batch, U, generator=g), 5 * torch.rand(batch, U, generator=g),
        2 * torch.rand(batch, U, generator=g) - 1, torch.rand(batch, U, generator=g), 0,
    )  # fmt: skip


def scored(name, e, **given):
    gate = build_gate(name, V, D, **given)
    zero = torch.zeros(len(e.ids), gate.strata)
    stats = (
        followed(Stats(zero, zero, zero), gate.quantity(e), gate.stratum(e))
        if gate.strata
        else Stats(*[zero] * 3)
    )
    return gate, gate.score(e, stats)


@pytest.mark.parametrize("name", GATES)
def test_a_score_is_a_number_for_every_token_and_has_no_ties(name):
    e = evidence()
    torch.manual_seed(0)
    _, score = scored(name, e)
    assert score.shape == e.ids.shape and score.isfinite().all()
    assert all(len(row.unique()) == U for row in score)


def test_what_each_gate_looks_at():
    e = evidence()
    order = {name: scored(name, e)[1] for name in GATES}
    rare = e.ids >= V - V // 8
    assert order["rare"][rare].min() > order["rare"][~rare].max()
    assert torch.equal(order["surprisal"].argsort(1), e.alone.argsort(1))
    assert torch.equal(order["after_read"].argsort(1), e.after.argsort(1))
    suppressed = e.redundancy > 0.9
    assert suppressed.any() and torch.equal(order["redundancy"] < order["surprisal"] - 1, suppressed)
    ranked = order["frequency"].argsort(1)
    assert (e.ids.gather(1, ranked).diff(dim=1) >= 0).all()  # the rarest, which have the highest ids, last
    assert (order["compression"] - e.residual).abs().max() <= 0.05 + 1e-6
    assert (order["random"] == e.noise).all() and not torch.equal(
        order["random"], scored("random", evidence(1))[1]
    )
    # A common token that surprises for a common one comes before a rare one that does not for a rare one.
    gate, score = scored("stratified", e)
    for stratum in (0, 1):
        own = score[0][gate.stratum(e)[0] == stratum]
        assert abs(float(own.mean())) < 0.2


def test_learned_gates_have_gradients():
    for name in ("salience", "heads"):
        gate, score = scored(name, evidence())
        score.sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in gate.parameters())


def test_running_statistics_are_exponential_means():
    """In one stratum, over many chunks, against the recurrence token by token with the chunk's mean."""
    quantity = torch.randn(1, 40 * U, generator=torch.Generator().manual_seed(0)) * 2 + 3
    zero = torch.zeros(1, 1)
    stats = Stats(zero, zero, zero)
    for part in quantity.split(U, 1):
        stats = followed(stats, part, torch.zeros_like(part, dtype=torch.int64))
    assert abs(float(stats.mean) - 3) < 0.5 and abs(float(stats.var) - 4) < 1
    z = standardised(quantity, torch.zeros_like(quantity, dtype=torch.int64), stats)
    assert abs(float(z.mean())) < 0.3 and abs(float(z.std()) - 1) < 0.2
    # A class that is never seen keeps nothing, and is not divided by.
    two = Stats(*[torch.zeros(1, 2)] * 3)
    two = followed(two, quantity[:, :U], torch.ones(1, U, dtype=torch.int64))
    assert two.mean[0, 0] == 0 and two.seen.tolist() == [[0, 1]]


SCORES = {
    "normal": torch.randn,
    "heavy": lambda *shape, generator: torch.randn(*shape, generator=generator).exp() ** 3,
    "tiny": lambda *shape, generator: 1e-6 * torch.rand(*shape, generator=generator),
    "few values": lambda *shape, generator: (
        (torch.rand(*shape, generator=generator) < 0.3).float() + 1e-3 * torch.rand(*shape, generator=generator)
    ),
    "drifting": None,
}


@pytest.mark.parametrize("kind", SCORES)
def test_the_controller_holds_a_density_whatever_is_scored(kind):
    """A steady drift of a two-hundredth of the spread a chunk included; eight streams each."""
    for density in (0.05, 0.12, 0.5):
        g, control, shares = torch.Generator().manual_seed(0), Control(*[torch.zeros(8)] * 3), []
        for number in range(130):
            draw = torch.randn if kind == "drifting" else SCORES[kind]
            score = draw(8, 64, generator=g) + (number / 200 if kind == "drifting" else 0)
            passed, control = held(score, density, control)
            shares.append(float(passed.float().mean()))
        assert abs(sum(shares[30:]) / 100 - density) < 0.1 * density


def test_hashes_are_even_and_depend_on_every_part():
    ids = torch.arange(64_000)
    counts = torch.bincount(mixed(ids) % 64, minlength=64)
    # 64 cells of 1,000: χ² has mean 63 and standard deviation 11.
    assert abs(float(((counts - 1000) ** 2 / 1000).sum()) - 63) < 45
    u = uniform_of(3, ids)
    assert u.min() >= 0 and u.max() < 1 and abs(float(u.mean()) - 0.5) < 0.01
    assert abs(float(torch.corrcoef(torch.stack((u, uniform_of(4, ids))))[0, 1])) < 0.02
    assert abs(float(torch.corrcoef(torch.stack((u[1:], u[:-1])))[0, 1])) < 0.02


def test_addresses():
    g = torch.Generator().manual_seed(0)
    keys, ids = F.normalize(torch.randn(2, U, D, generator=g), dim=-1), evidence().ids
    torch.manual_seed(0)
    by_id, by_key = build_address("hash", 8, D), build_address("semantic", 8, D)
    same = ids[:, :, None] == ids[:, None]
    assert (by_id.read(keys, ids) == by_id.read(-keys, ids)).all()
    assert ((by_id.read(keys, ids) == by_id.read(keys, ids).mT) | ~same).all()
    near = by_key.read(keys, ids)
    assert torch.equal(near, by_key.read(keys, ids + 1)) and len(near.unique()) > 4
    near_still = by_key.read(F.normalize(keys + 1e-4, dim=-1), ids)
    assert (near == near_still).float().mean() > 0.95
    two = build_address("dual", 8, D)
    assert (two.read(keys, ids)[..., 0] < 4).all() and (two.read(keys, ids)[..., 1] >= 4).all()
    top = build_address("centroids", 8, D, top=3)
    assert top.read(keys, ids).shape == (2, U, 3) and torch.equal(
        top.write(keys, ids), top.read(keys, ids)[..., :1]
    )


def test_a_tree_is_two_searches():
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    keys, ids = F.normalize(torch.randn(2, U, D, generator=g), dim=-1), evidence().ids
    tree = build_address("tree", 12, D, top=2)
    found = tree.read(keys, ids)
    assert tree.branches == 3 and found.shape == (2, U, 2) and len(found.unique()) > 6
    trunk = (keys @ tree.trunks.T).argmax(-1)
    assert torch.equal(found[..., 0] // 4, trunk) and (found[..., 1] // 4 != trunk).all()
    leaves = tree.codes.view(3, 4, D)[trunk]
    assert torch.equal(found[..., 0] % 4, torch.einsum("bud,buld->bul", keys, leaves).argmax(-1))
    one = build_address("tree", 7, D, top=2)  # a prime has one branch, whose bucket is named twice
    assert one.branches == 1 and torch.equal(one.read(keys, ids)[..., 0], one.read(keys, ids)[..., 1])


def test_of_two_buckets_the_emptier_is_written_and_both_are_read():
    """As many cues as half of the slots: by one hash some are lost, by the better of two fewer."""
    kept = {}
    for address in ("hash", "either"):
        torch.manual_seed(0)
        model = SparseConfig(
            256, d_model=16, mixer_args={"window": 8, "num_heads": 2}, chunk=8, buckets=32, ways=4, slot_dim=16,
            top=4, gate="every", density=None, address=address, evict="oldest", merge=1.0,
        ).build().eval()  # fmt: skip
        tokens = torch.randperm(256, generator=torch.Generator().manual_seed(1))[None, :97]
        with torch.no_grad():
            _, state = model(tokens)
        slots = state[-1].slots
        kept[address] = int((slots.time >= 0).sum())
        for n, w in (slots.time[0] >= 0).nonzero().tolist():
            cue = tokens[0, slots.time[0, n, w] - 1]
            assert n in model.memory.address.read(None, cue[None, None])[0, 0]
    assert kept["hash"] < kept["either"] <= 95


def test_centroids_follow_the_keys_and_none_dies():
    torch.manual_seed(0)
    centres = F.normalize(torch.randn(4, D), dim=-1)
    address, g = build_address("centroids", 4, D, decay=0.9), torch.Generator().manual_seed(1)
    for _ in range(80):
        own = torch.randint(4, (64,), generator=g)
        address.learn(F.normalize(centres[own] + 0.05 * torch.randn(64, D, generator=g), dim=-1))
    assert (centres @ address.codes.T).amax(1).min() > 0.98
    assert "codes" in address.state_dict() and address.codes.requires_grad is False
