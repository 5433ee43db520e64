"""The holographic layer: what a key recalls, slots and decays, packing, its auxiliary loss, and its refusals.

What it owes as a mixer `test_base.py` asks of it as of all.
"""

import itertools
import math

import pytest
import torch
from mixer_cases import WIDTH, make, normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import Holographic, recording
from hmlcore.layers.holographic.parts import Lift, Router, fixed
from hmlcore.layers.holographic.recall import lagged, recall_loss
from hmlcore.ops.holographic import unbind

CASES = ("holographic", "holographic-slots", "holographic-signs")
every_case = pytest.mark.parametrize("case", CASES)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@every_case
def test_packed_sequences_are_separate_sequences(case):
    """Outputs, states and gradients, from states and from none."""
    layer, bounds = make(case, torch.float64), [0, 1, 3, 20, 41]
    x = normal(1, 41, WIDTH, dtype=torch.float64)
    y, state = layer(x, cu_seqlens=bounds)
    again, last = layer(x, state, cu_seqlens=torch.tensor(bounds))
    spans = list(itertools.pairwise(bounds))
    for i, (a, b) in enumerate(spans):
        alone, end = layer(x[:, a:b])
        further, over = layer(x[:, a:b], end)
        torch.testing.assert_close(y[:, a:b], alone)
        torch.testing.assert_close(again[:, a:b], further)
        for part, whole in zip(end, state, strict=True):
            torch.testing.assert_close(whole[i : i + 1], part)
        torch.testing.assert_close(last.memory[i : i + 1], over.memory)
    leaf = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(layer(leaf, cu_seqlens=bounds)[0][:, 3:20].sum(), leaf)
    assert g[:, :3].count_nonzero() == g[:, 20:].count_nonzero() == 0 and g[:, 3:20].count_nonzero() > 0


@pytest.mark.parametrize("binding", ["unitary", "convolution"])
def test_keys_agree_as_a_gaussian_of_their_contents(binding):
    """e^{−s²δ²/2} for unit contents at a distance δ: the mean over channels of the real part of k̄k′."""
    lift, d = Lift(binding, 8, 40_000, "random").double(), 40_000
    contents = torch.nn.functional.normalize(normal(6, 8, dtype=torch.float64), dim=-1)
    keys, unit = lift.key(3.0 * contents)
    torch.testing.assert_close(unit, contents)
    found = keys @ keys.T / (d / 2 if binding == "unitary" else 1)
    wanted = torch.exp(-2.0 * torch.cdist(contents, contents).square())
    assert (found - wanted).abs().max() < 5 / math.sqrt(d / 2)


def test_lifting_up_and_down_loses_nothing():
    for width, channels in ((8, 64), (8, 8)):
        small = normal(3, width, dtype=torch.float64)
        lift = Lift("bipolar", width, channels, "random").double()
        torch.testing.assert_close(lift.content(lift.value(small)), small, rtol=1e-6, atol=1e-6)
    # Fewer channels than numbers: what goes down comes up again as it was, nearly.
    lift, held = Lift("bipolar", 4096, 8, "random").double(), normal(3, 8, dtype=torch.float64)
    assert (lift.value(lift.content(held)) - held).norm() < 0.1 * held.norm()
    assert torch.equal(fixed(5, 3, True, 1), fixed(5, 3, True, 1))
    assert sum(p.numel() for p in Lift("unitary", 8, 64, "random").parameters()) == 1
    assert sum(p.numel() for p in Lift("unitary", 8, 64, "learned").parameters()) == 1 + 8 * (32 + 64 + 64)


def test_a_content_asked_for_again_recalls_its_value():
    """With one tap, the same contents recall their value from among others; a stranger recalls none of it."""
    layer = Holographic(WIDTH, dim=4096, decay="none", conv_size=1).double()
    with torch.no_grad():
        layer.conv.fill_(1)
        x = normal(1, 4, WIDTH, dtype=torch.float64)
        tokens, _, u, _ = layer._project(x, layer.init_state(1).conv.double())
        _, state = layer(x)
        stranger, *_ = layer._project(5 * normal(1, 4, WIDTH, seed=9, dtype=torch.float64), None)
        beta = tokens.write[:, :, 0]

        def recalled(keys):
            return layer.lift.content(unbind("unitary", keys[:, :, 0], state.memory[:, 0]))

        close = torch.cosine_similarity(recalled(tokens.k), beta * u, dim=-1)
        other = torch.cosine_similarity(recalled(stranger.q), beta * u, dim=-1).abs()
        assert (
            close.min() > 0.75 and other.mean() < 0.5
        )  # contents of few numbers are alike by chance now and then


@pytest.mark.parametrize("decay", ["none", "passive", "fast_slow"])
def test_slots_fade_at_their_rates_in_silence(decay):
    layer = Holographic(WIDTH, slots=2, decay=decay, rate=0.01, routing="all").double()
    with torch.no_grad():
        layer.gate_proj.bias.fill_(-1000.0)  # nothing is written
        state = layer.init_state(1, dtype=torch.float64)
        state.memory.copy_(normal(*state.memory.shape, dtype=torch.float64))
        _, last = layer(normal(1, 30, WIDTH, dtype=torch.float64), state)
    kept = {"none": [1.0, 1.0], "passive": [0.99, 0.99], "fast_slow": [0.9, 0.99]}[decay]
    wanted = torch.tensor(kept, dtype=torch.float64)[:, None] ** 30 * state.memory
    torch.testing.assert_close(last.memory, wanted)


def test_routes_are_one_hot_soft_or_all_and_the_same_for_writing_and_reading():
    unit = torch.nn.functional.normalize(normal(2, 50, WIDTH), dim=-1)
    for routing, slots, groups in (("top1", 4, 1), ("soft", 4, 1), ("top1", 4, 2)):
        router = Router(routing, WIDTH, slots, groups)
        write, read = router(unit, reads=False), router(unit, reads=True)
        assert write.shape == (2, 50, 1, slots) and torch.equal(write, read)
        torch.testing.assert_close(write.unflatten(-1, (groups, -1)).sum(-1), torch.ones(2, 50, 1, groups))
        assert ((write == 0) | (write == 1)).all() == (routing == "top1")
        assert (write.sum((0, 1, 2)) > 0).all()
    every = Router("all", WIDTH, 4, 1)
    assert torch.equal(every(unit, reads=True), torch.full((2, 50, 1, 4), 0.25)) and every.weight is None
    assert torch.equal(every(unit, reads=False), torch.ones(2, 50, 1, 4))


def test_what_is_recorded_is_what_happened():
    layer, x = make("holographic-signs"), normal(2, 12, WIDTH)
    with recording(layer) as traces:
        _, state = layer(x)
    trace = traces[""]
    assert {name: y.shape for name, y in trace.records[0].items()} == dict.fromkeys(
        ("write", "read", "keep", "norm"), (2, 12, 4)
    )
    torch.testing.assert_close(trace["norm"][:, -1], state.memory.norm(dim=-1))
    assert (trace["read"].unflatten(-1, (2, 2)).sum(-1) == 1).all()


# The auxiliary loss


def auxiliary(layer, x, seed=0):
    with recording(layer, differentiable=True) as traces:
        layer(x)
    return layer.auxiliary(traces[""], generator(seed))


@every_case
def test_the_auxiliary_loss_reaches_what_is_written_and_is_drawn_from_its_generator(case):
    layer, x = make(case), normal(2, 40, WIDTH)
    loss = auxiliary(layer, x)
    assert torch.equal(loss, auxiliary(layer, x))
    assert len({float(auxiliary(layer, x, seed).detach()) for seed in range(6)}) > 1
    grads = torch.autograd.grad(loss, list(layer.parameters()), allow_unused=True)
    reached = {name for (name, _), g in zip(layer.named_parameters(), grads, strict=True) if g is not None}
    assert {"in_proj.weight", "conv", "gate_proj.weight"} <= reached
    assert not {"out_proj.weight", "out_gate.weight"} & reached


def test_at_lag_0_the_least_is_reached_by_keeping_nothing_else_and_at_random_lags_it_is_not():
    """Gates that overwrite answer lag 0 to the last digit; of what was written before they know nothing."""
    losses, x = {}, normal(4, 60, WIDTH)
    for lag in (0, 8):
        for kept in (0.0, -1000.0):
            torch.manual_seed(0)
            layer = Holographic(WIDTH, dim=512, lag=lag)
            with torch.no_grad():
                layer.gate_proj.bias[1:] = -kept if kept else -30.0
            losses[lag, bool(kept)] = float(auxiliary(layer, x).detach())
    small = layer._project(x, layer.init_state(4).conv)[2].detach()
    least = recall_loss(small, small, generator()).item()
    assert losses[0, True] == pytest.approx(least, rel=1e-4) and losses[0, False] > 1.5 * least
    assert losses[8, True] > losses[8, False] + 0.5 and losses[8, True] > 0.8 * math.log(50)


def test_the_loss_is_the_share_of_the_right_value():
    read = torch.eye(3)[None]
    logits = torch.tensor([1.0, 0, 0]) / 0.1
    assert recall_loss(read, read, generator()).item() == pytest.approx(-logits.log_softmax(0)[0].item())
    twins = torch.tensor([[[1.0, 0], [1.0, 0], [0, 1.0]]])  # the same value twice is no rival
    wanted = -(torch.tensor([10.0, 0]).log_softmax(0)[0] * 2 + torch.tensor([10.0, 0, 0]).log_softmax(0)[0]) / 3
    assert recall_loss(twins, twins, generator()).item() == pytest.approx(wanted.item())
    read, wanted = (
        normal(2, 3, 4),
        normal(2, 3, 4, seed=3),
    )  # a read is told from values, not a value from reads
    own = [
        torch.stack([torch.cosine_similarity(r, w, dim=0) for w in values]).div(0.1).log_softmax(0)[i]
        for reads, values in zip(read, wanted, strict=True)
        for i, r in enumerate(reads)
    ]
    assert recall_loss(read, wanted, generator()).item() == pytest.approx(-sum(own).item() / 6, rel=1e-5)
    half = torch.zeros(2, 6, 4, dtype=torch.float16, requires_grad=True)
    recall_loss(half, half, generator()).backward()
    assert half.grad.isfinite().all(), "vectors without a length"
    assert recall_loss(normal(2, 500, 4), normal(2, 500, 4, seed=3), generator()).item() > math.log(20)


def test_lags_are_drawn_within_the_window():
    g = generator()
    assert {lagged(4, 5, g) for _ in range(200)} == {1, 2, 3, 4} and lagged(0, 1, g) == 0
    with pytest.raises(HmlcoreError, match="lag must be within the window of T = 5 tokens, got 5"):
        lagged(5, 5, g)
    with pytest.raises(HmlcoreError, match="lag must be within the window of T = 10 tokens, got 16"):
        auxiliary(Holographic(WIDTH), normal(1, 10, WIDTH))


def test_most_mixers_have_no_auxiliary_loss():
    assert make("attention").auxiliary(None, generator()) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 33}, "dim must be even with binding = 'unitary', whose keys are phases of pairs, got 33"),
        ({"dim": 33, "binding": "convolution"}, "dim must be even with binding = 'convolution'"),
        ({"slots": 0}, "slots must be at least 1, got 0"),
        ({"slots": 3, "decay": "fast_slow"}, "slots must be even with decay = 'fast_slow', .* got 3"),
        ({"decay": "passive", "rate": 1.0}, r"rate must be a decay within \[0, 1\) .*, got 1.0"),
        ({"decay": "passive", "rate": -0.1}, r"rate must be a decay within \[0, 1\) .*, got -0.1"),
        ({"decay": "fast_slow", "slots": 2, "rate": 0.1}, r"10 times it too where slots are fast, got 0.1"),
        ({"binding": "xor"}, "unknown binding 'xor'; known: bipolar, convolution, unitary"),
        ({"routing": "top2"}, "unknown routing 'top2'; known: all, soft, top1"),
        ({"decay": "slow"}, "unknown decay 'slow'; known: fast_slow, learned, none, passive"),
        ({"lift": "none"}, "unknown lift 'none'; known: learned, random"),
        ({"lag": -1}, "lag must be at least 0, got -1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        Holographic(WIDTH, **arguments)


def test_a_state_of_other_slots_or_channels_is_refused():
    layer, x = Holographic(WIDTH, dim=32), normal(2, 3, WIDTH)
    with pytest.raises(
        HmlcoreError, match=r"initial_state must have shape \(2, 1, 1, 32\), got \(2, 1, 2, 32\)"
    ):
        layer(x, Holographic(WIDTH, dim=32, slots=2).init_state(2))
