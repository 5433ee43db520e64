"""The one model around every mixer: equal sizes, sane start, one pass = single steps."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS
from hmlcore.models import Backbone, BackboneConfig, match_parameters

DYNAMICS = ("leapfrog", "euler", "delta")
CASES = {
    **{name: (name, {}) for name in MIXERS},
    "holographic_legacy": ("holographic_legacy", {"dim": 24}),  # of 8 · d_model it has too many parameters
    **{f"hml-{dynamics}": ("hml", {"dynamics": dynamics}) for dynamics in DYNAMICS},
    "hml-rotors": ("hml", {"dynamics": "delta", "rotors": 8}),
}
every_mixer = pytest.mark.parametrize("case", CASES)
# Those whose inside is known here.
known_mixer = pytest.mark.parametrize(
    "case", ["attention", "gru", "hml-rotors", *(f"hml-{d}" for d in DYNAMICS)]
)


def config(case, vocab=11, d_model=16, layers=2, d_ff=24):
    mixer, arguments = CASES[case]
    return BackboneConfig(vocab, mixer, d_model, layers, d_ff, arguments)


def make(case, **sizes):
    torch.manual_seed(0)
    return Backbone(config(case, **sizes))


def tokens(*shape, vocab=11):
    return torch.randint(vocab, shape, generator=torch.Generator().manual_seed(1))


@every_mixer
def test_one_pass_is_any_chunking_is_single_steps(case):
    model, x = make(case), tokens(2, 13)
    whole, last = model(x)
    assert whole.shape == (2, 13, 11)
    first, state = model(x[:, :5])
    outputs = [first]
    for t in range(5, 9):
        y, state = model.step(x[:, t], state)
        outputs.append(y[:, None])
    rest, state = model(x[:, 9:], state)
    torch.testing.assert_close(torch.cat([*outputs, rest], 1), whole, rtol=1e-4, atol=1e-5)
    for a, b in zip(state, last, strict=True):
        torch.testing.assert_close(tuple(a), tuple(b), rtol=1e-4, atol=1e-5)
    y, _ = model.step(x[:, 0], model.init_state(2))
    torch.testing.assert_close(y, whole[:, 0], rtol=1e-4, atol=1e-5)


@every_mixer
def test_a_batch_of_none_is_a_batch(case):
    model, none = make(case), tokens(0, 5)
    logits, state = model(none)
    step, _ = model.step(none[:, 0], state)
    first, _ = model.step(none[:, 0], model.init_state(0))
    assert logits.shape == (0, 5, 11) and step.shape == first.shape == (0, 11)
    (logits.sum() + step.sum()).backward()
    assert all(p.grad is None or p.grad.count_nonzero() == 0 for p in model.parameters())


@every_mixer
def test_state_size_counts_the_floats_of_all_blocks(case):
    model = make(case)
    for length in (0, 7):
        state = model(tokens(1, length))[1] if length else model.init_state(1)
        assert sum(x.numel() for block in state for x in block) == model.state_size(length)


@every_mixer
def test_it_starts_without_an_opinion(case):
    """Before training every token is about equally likely, so the loss is ln V."""
    logits, _ = make(case, vocab=100)(tokens(4, 32, vocab=100))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens(4, 32, vocab=100).flatten())
    assert loss.item() == pytest.approx(math.log(100), rel=0.02)


@known_mixer
def test_initial_weights_have_their_stated_spread(case):
    model = make(case, vocab=500, d_model=64, layers=3, d_ff=96)
    assert model.embedding.weight.std().item() == pytest.approx(0.02, rel=0.05)
    writers = {id(out) for block in model.blocks for out in (*block.mixer.output_projections, block.mlp.down)}
    assert len(writers) == 6  # two a block write to the residual stream
    silent = {id(module) for block in model.blocks for module in block.mixer.silent_projections}
    for module in model.modules():
        if id(module) in silent:
            assert not module.weight.any()
        elif isinstance(module, torch.nn.Linear):
            depth = math.sqrt(6) if id(module) in writers else 1
            few = module.weight.numel() < 2000
            wanted = 1 / math.sqrt(module.in_features) / depth
            assert module.weight.std().item() == pytest.approx(wanted, rel=0.15 if few else 0.05)
    for block in model.blocks:
        if CASES[case][0] == "hml":
            gates = block.mixer.gate_proj.bias.view(-1, block.mixer.num_heads)[:, 0].tolist()
            assert gates == ([-2, -4] if case in ("hml-delta", "hml-rotors") else [-2, -4, -2])


def test_parameters_are_counted_once_each():
    """Attention, by hand: shared embedding; per block 4d² maps, 12d taps, 2d norm gains, 3·d·d_ff."""
    vocab, d, layers, d_ff = 50, 8, 3, 20
    model = make("attention", vocab=vocab, d_model=d, layers=layers, d_ff=d_ff)
    wanted = vocab * d + layers * (4 * d * d + 12 * d + 2 * d + 3 * d * d_ff) + d
    assert model.parameter_count == wanted
    assert model.logits(torch.eye(d)).data.equal(model.embedding.weight.T)


@every_mixer
def test_all_mixers_can_be_given_equal_parameters(case):
    target = 61_234
    matched = match_parameters(config(case, d_model=32), target)
    count = Backbone(matched).parameter_count
    assert abs(count - target) <= 0.01 * target
    nearest = 3 * 32 * 2 / 2  # half of what one more hidden channel in each of two layers would add
    assert abs(count - target) <= nearest


def test_parameters_that_cannot_be_met_are_refused():
    message = r"target_parameters = 5000 cannot be met by mixer 'hml' at d_model = 64: the nearest is \d+"
    with pytest.raises(HmlcoreError, match=message):
        match_parameters(config("hml", d_model=64), 5000)
    with pytest.raises(HmlcoreError, match="target must be at least 1, got 0"):
        match_parameters(config("gru"), 0)


@known_mixer
def test_flops_per_token_agree_with_what_torch_counts(case, monkeypatch):
    """Decoding token by token, in plain operations. Torch counts matrix products: not the
    sum over convolution taps, and not all of the four passes over the Hamiltonian state."""
    monkeypatch.setenv("HMLCORE_BACKEND", "naive")
    model, x = make(case, d_model=32), tokens(1, 12)
    state, counted = model.init_state(1), 0
    for t in range(12):
        with FlopCounterMode(display=False) as counter:
            _, state = model.step(x[:, t], state)
        counted += counter.get_total_flops()
    mixers = [block.mixer for block in model.blocks]
    visible = 12 * (model.flops_per_token(12) - sum(2 * m.conv.numel() for m in mixers))
    if CASES[case][0] != "hml":
        assert counted == visible
    else:
        state_passes = 12 * sum(4 * 2 * m.rows * m.num_heads * m.head_dim**2 for m in mixers)
        assert visible - state_passes / 2 <= counted <= visible


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab": 0}, "vocab_size must be at least 1, got 0"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"d_ff": -1}, "d_ff must be at least 1, got -1"),
        ({"d_model": 18}, "num_heads = 4 does not divide d_model = 18"),
    ],
)
def test_bad_sizes_are_refused(change, message):
    with pytest.raises(HmlcoreError, match=message):
        make("hml", **change)


def test_tokens_must_be_a_batch_of_sequences():
    with pytest.raises(HmlcoreError, match=r"tokens must be \[B, T\], got shape \(4,\)"):
        make("gru")(tokens(4))
    with pytest.raises(HmlcoreError, match="T = 0"):
        make("gru")(tokens(2, 0))


def test_the_embedding_starts_as_wide_as_configured_and_nothing_else_differs():
    torch.manual_seed(0)
    narrow = Backbone(BackboneConfig(500, "gru", 64))
    torch.manual_seed(0)
    wide = Backbone(BackboneConfig(500, "gru", 64, embedding_std=0.12))
    assert float(narrow.embedding.weight.std()) == pytest.approx(0.02, rel=0.02)
    torch.testing.assert_close(wide.embedding.weight, 6 * narrow.embedding.weight)
    for name, x in narrow.state_dict().items():
        assert name == "embedding.weight" or torch.equal(x, wide.state_dict()[name])
    with pytest.raises(HmlcoreError, match="embedding_std must be above 0"):
        BackboneConfig(500, "gru", embedding_std=0)
