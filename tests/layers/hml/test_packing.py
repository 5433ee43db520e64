"""Sequences packed end to end through HML are separate sequences: outputs, gradients, states, traces."""

import itertools

import pytest
import torch
from hml_cases import HML_CASES, MEMBERS
from mixer_cases import WIDTH, make, normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import recording
from hmlcore.layers.base import Mixer
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.ops.packing import pack, unpack

# Shorter than the convolution, as long as it, as long as a chunk, and longer.
BOUNDS = [0, 1, 3, 7, 23, 44]
SPANS = list(itertools.pairwise(BOUNDS))
COUNT = len(SPANS)
every_case = pytest.mark.parametrize("case", HML_CASES)
every_member = pytest.mark.parametrize("case", MEMBERS)


def stirred(layer, sequences=COUNT):
    """A state that nothing is zero in; `clock` is that of a chunk under way."""
    state = layer.init_state(sequences, dtype=torch.float64)
    parts = {
        name: normal(*x.shape, seed=i + 5, dtype=x.dtype) for i, (name, x) in enumerate(state._asdict().items())
    }
    if "clock" in parts:
        parts["clock"] = torch.arange(sequences, dtype=torch.float64) * 3 % 16
    return type(state)(**{name: x.requires_grad_(name != "clock") for name, x in parts.items()})


def one_by_one(layer, x, state):
    """Each sequence by itself: outputs end to end, and the states as a batch."""
    outputs, states = [], []
    for i, (a, b) in enumerate(SPANS):
        y, end = layer(x[:, a:b], type(state)(*(part[i : i + 1] for part in state)))
        outputs.append(y)
        states.append(end)
    return torch.cat(outputs, 1), type(state)(*(torch.cat(parts) for parts in zip(*states, strict=True)))


def with_gradients(run, layer, x, state):
    y, end = run(layer, x, state)
    named = dict(zip(end._fields, end, strict=True))
    loss = sum((part * normal(*part.shape, seed=3, dtype=part.dtype)).sum() for part in (y, *end))
    leaves = {"x": x, **{n: p for n, p in zip(state._fields, state, strict=True) if p.requires_grad}}
    leaves |= dict(layer.named_parameters())
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return {"y": y} | named | {f"d {name}": g for name, g in zip(leaves, grads, strict=True)}


@every_case
def test_what_is_not_finite_stays_in_its_packed_sequence(case):
    layer, x = make(case), normal(1, BOUNDS[-1], WIDTH)
    spoilt = x.clone()
    spoilt[0, 10, 3] = torch.nan  # of the fourth, 7 … 22
    with torch.no_grad():
        (y, state), (exact, last) = (layer(z, cu_seqlens=BOUNDS) for z in (spoilt, x))
    others = [i for i in range(COUNT) if i != 3]
    for a, b in zip((y[0, :10], y[0, 23:], *state), (exact[0, :10], exact[0, 23:], *last), strict=True):
        a, b = (a, b) if len(a) > COUNT else (a[others], b[others])
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert not y[:, 10:23].isfinite().any()
    assert not state.memory[3].isfinite().all()


@every_case
@pytest.mark.parametrize("given", [True, False], ids=["from a state", "from nothing"])
def test_packed_sequences_are_separate_sequences(case, given):
    layer, x = make(case, torch.float64), normal(1, BOUNDS[-1], WIDTH, dtype=torch.float64).requires_grad_()
    state = stirred(layer) if given else layer.init_state(len(SPANS), dtype=torch.float64)
    bounds = torch.tensor(BOUNDS)

    def packed(layer, x, state):
        return layer(x, state if given else None, cu_seqlens=bounds)

    found, wanted = (with_gradients(run, layer, x, state) for run in (packed, one_by_one))
    assert found.keys() == wanted.keys()
    for name, w in wanted.items():
        assert found[name].shape == w.shape
        assert (found[name] - w).norm() <= 1e-10 * w.norm(), name


@every_member
def test_no_packed_sequence_sees_another(case):
    layer, x = make(case, torch.float64), normal(1, BOUNDS[-1], WIDTH, dtype=torch.float64).requires_grad_()
    state = stirred(layer)
    y, end = layer(x, state, cu_seqlens=BOUNDS)
    a, b = SPANS[3]
    g, d_memory, d_conv = torch.autograd.grad(
        y[:, a:b].sin().sum() + end.memory[3].sin().sum(), [x, state.memory, state.conv]
    )
    assert g[:, :a].count_nonzero() == 0 and g[:, b:].count_nonzero() == 0
    assert (g[:, a:b].abs().sum(-1) > 0).all()
    for d in (d_memory, d_conv):
        assert d[3].count_nonzero() > 0 and torch.cat((d[:3], d[4:])).count_nonzero() == 0


@every_member
def test_a_sequence_that_breaks_down_takes_none_with_it(case):
    """0 · NaN is NaN: what is only masked afterwards would show."""
    layer, x = make(case, torch.float64), normal(1, BOUNDS[-1], WIDTH, dtype=torch.float64)
    state = stirred(layer)
    wanted, end = layer(x, state, cu_seqlens=BOUNDS)
    broken = [part.detach().clone() for part in state[:2]]
    for part in broken:
        part[2] = torch.nan
    found, after = layer(x, state._replace(memory=broken[0], conv=broken[1]), cu_seqlens=BOUNDS)
    a, b = SPANS[2]
    assert found[:, a:b].isnan().any() and after.memory[2].isnan().any()
    others = [0, 1, 3, 4]
    assert torch.equal(found[:, :a], wanted[:, :a])
    torch.testing.assert_close(found[:, b:], wanted[:, b:], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after.memory[others], end.memory[others], rtol=1e-12, atol=1e-12)


@every_case
def test_decoding_goes_on_from_where_each_sequence_ended(case):
    layer, x = make(case, torch.float64), normal(1, BOUNDS[-1], WIDTH, dtype=torch.float64)
    _, state = layer(x, cu_seqlens=BOUNDS)
    token = normal(len(SPANS), WIDTH, seed=9, dtype=torch.float64)
    y, after = layer.step(token, state)
    for i, (a, b) in enumerate(SPANS):
        whole, end = layer(torch.cat((x[:, a:b], token[i][None, None]), 1))
        torch.testing.assert_close(y[i], whole[0, -1], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(after.memory[i], end.memory[0], rtol=1e-10, atol=1e-12)
    z, _ = layer(token[:, None], state)
    torch.testing.assert_close(z[:, 0], y, rtol=1e-10, atol=1e-12)


@every_case
def test_padding_at_the_end_is_harmless_and_packing_gives_the_true_state(case):
    layer, x = make(case, torch.float64), normal(3, 20, WIDTH, dtype=torch.float64)
    lengths = [20, 5, 1]
    plain, _ = layer(x)
    poisoned = x.clone()
    for i, length in enumerate(lengths):
        poisoned[i, length:] = 1e3
    padded, _ = layer(poisoned)
    packed, bounds = pack(poisoned, torch.tensor(lengths))
    y, state = layer(packed, cu_seqlens=bounds)
    y = unpack(y, bounds)
    assert packed.shape == (1, 26, WIDTH) and y.shape == x.shape
    for i, length in enumerate(lengths):
        alone, end = layer(x[i : i + 1, :length])
        for outputs in (plain, padded, y):
            torch.testing.assert_close(outputs[i, :length], alone[0], rtol=1e-10, atol=1e-12)
        assert y[i, length:].count_nonzero() == 0
        for found, wanted in zip(state, end, strict=True):
            torch.testing.assert_close(found[i], wanted[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", ["hml-leapfrog-rotating", "hml-quad-rotating", "hml-kick"])
def test_a_trace_of_packed_sequences_is_theirs_end_to_end(case):
    layer, x = make(case, torch.float64), normal(1, BOUNDS[-1], WIDTH, dtype=torch.float64)
    plain, _ = layer(x, cu_seqlens=BOUNDS)
    with recording(layer) as traces:
        recorded, _ = layer(x, cu_seqlens=BOUNDS)
    assert torch.equal(recorded, plain)
    with recording(layer) as alone:
        one_by_one(layer, x, layer.init_state(len(SPANS), dtype=torch.float64))
    found, wanted = traces[""], alone[""]
    assert len(found.records) == len(SPANS) and found.records[0].keys() == wanted.records[0].keys()
    for name in wanted.records[0]:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", ["hml-leapfrog", "hml-oscillator-rotating", "hml-quad"])
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_packing_under_autocast(case):
    layer, x = make(case), normal(1, BOUNDS[-1], WIDTH)
    exact, _ = layer(x, cu_seqlens=BOUNDS)
    with torch.autocast("cpu", torch.bfloat16):
        y, state = layer(x, cu_seqlens=BOUNDS)
    assert state.memory.dtype == torch.float32
    assert (y.float() - exact).norm() < 0.03 * exact.norm()


def model(mixer="hml", **arguments):
    torch.manual_seed(0)
    return Backbone(BackboneConfig(11, mixer, d_model=WIDTH, mixer_args=arguments))


def test_a_model_of_packed_documents():
    net = model(rotation_heads=1)
    tokens = torch.randint(11, (1, BOUNDS[-1]), generator=torch.Generator().manual_seed(1))
    logits, state = net(tokens, cu_seqlens=BOUNDS)
    for i, (a, b) in enumerate(SPANS):
        alone, end = net(tokens[:, a:b])
        torch.testing.assert_close(logits[:, a:b], alone, rtol=1e-4, atol=1e-5)
        for found, wanted in zip(state, end, strict=True):
            torch.testing.assert_close(found.memory[i], wanted.memory[0], rtol=1e-4, atol=1e-5)
    more, _ = net.step(tokens[0, : len(SPANS)], state)
    again, _ = net(tokens[:, : len(SPANS)], state, cu_seqlens=list(range(len(SPANS) + 1)))
    torch.testing.assert_close(again[0], more, rtol=1e-4, atol=1e-5)


def test_a_mixer_that_cannot_pack_says_so():
    assert not Mixer.packs
    with pytest.raises(HmlcoreError, match="mixer 'gru' does not take cu_seqlens; only mixers that pack do"):
        model("gru")(torch.zeros(1, 4, dtype=torch.long), cu_seqlens=[0, 2, 4])


# Refusals


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ([0, 3], r"cu_seqlens must rise from 0 to 6, got \[0, 3\]"),
        ([1, 6], r"cu_seqlens must rise from 0 to 6, got \[1, 6\]"),
        ([0, 4, 2, 6], "cu_seqlens must rise from 0 to 6"),
        ([0, 0, 6], "cu_seqlens must rise from 0 to 6"),
        ([], "cu_seqlens must rise from 0 to 6"),
        (torch.tensor([[0, 6]]), r"cu_seqlens must be \[S \+ 1\] integers, got shape \(1, 2\) of torch.int64"),
        (torch.tensor([0.0, 6.0]), r"cu_seqlens must be \[S \+ 1\] integers, got .* of torch.float32"),
    ],
)
def test_bounds_that_do_not_fit_are_refused(bounds, message):
    with pytest.raises(HmlcoreError, match=message):
        make("hml")(normal(1, 6, WIDTH), cu_seqlens=bounds)


def test_a_batch_and_a_state_of_another_number_of_sequences_are_refused():
    layer = make("hml-leapfrog")
    with pytest.raises(HmlcoreError, match="cu_seqlens needs tensors of batch 1, got batch 2"):
        layer(normal(2, 6, WIDTH), cu_seqlens=[0, 2, 6])
    wanted = r"state.memory must have shape \(2, 4, 2, 4, 4\), got \(3, 4, 2, 4, 4\)"
    with pytest.raises(HmlcoreError, match=wanted):
        layer(normal(1, 6, WIDTH), layer.init_state(3), cu_seqlens=[0, 2, 6])
    other = layer.init_state(2)._replace(conv=torch.zeros(1, 3, 3 * WIDTH))
    with pytest.raises(HmlcoreError, match=r"state.conv must have shape \(2, 3, 48\), got \(1, 3, 48\)"):
        layer(normal(1, 6, WIDTH), other, cu_seqlens=[0, 2, 6])


@pytest.mark.parametrize("lengths", [[4, 0], [4, 7], [4], [1, 2, 3], [-1, 2]])
def test_lengths_that_do_not_fit_are_refused(lengths):
    with pytest.raises(HmlcoreError, match=r"lengths must be one number between 1 and L .* got \["):
        pack(normal(2, 6, 3), lengths)
