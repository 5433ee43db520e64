"""Names of mixers: known ones, unknown ones and your own."""

from typing import ClassVar, NamedTuple

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS, Mixer, build_mixer, mixer_class, register_mixer
from hmlcore.models import Backbone, BackboneConfig


class MeanState(NamedTuple):
    mean: torch.Tensor


class RunningMean(Mixer):
    """y_t = s_t, s ← s + rate (Wx − s)."""

    name: ClassVar[str] = "running-mean"

    def __init__(self, d_model, rate=0.5):
        super().__init__(d_model)
        self.rate, self.proj = rate, torch.nn.Linear(d_model, d_model)

    def forward(self, x, state=None):
        self._check_input(x)
        state = state or self.init_state(x.shape[0])
        outputs = []
        for t in range(x.shape[1]):
            y, state = self.step(x[:, t], state)
            outputs.append(y)
        return torch.stack(outputs, 1), state

    def step(self, x, state):
        mean = state.mean + self.rate * (self.proj(x) - state.mean)
        return mean, MeanState(mean)

    def init_state(self, batch, device=None, dtype=None):
        return MeanState(torch.zeros(batch, self.d_model))

    def state_size(self, length):
        return self.d_model

    def flops_per_token(self, length):
        return 2 * self.d_model**2


@pytest.fixture
def registered():
    yield register_mixer(RunningMean)
    del MIXERS[RunningMean.name]


def test_your_own_mixer_runs_in_the_backbone(registered):
    assert mixer_class("running-mean") is RunningMean is registered
    model = Backbone(BackboneConfig(11, "running-mean", d_model=6, mixer_args={"rate": 0.25}))
    assert model.blocks[0].mixer.rate == 0.25
    tokens = torch.arange(10).view(2, 5)
    logits, _ = model(tokens)
    state, stepped = model.init_state(2), []
    for t in range(5):
        y, state = model.step(tokens[:, t], state)
        stepped.append(y)
    torch.testing.assert_close(torch.stack(stepped, 1), logits)
    assert model.state_size(100) == 12


def test_registering_twice_is_harmless_and_taking_a_name_is_refused(registered):
    assert register_mixer(RunningMean) is RunningMean

    class Thief(RunningMean):
        name = "hml"

    with pytest.raises(HmlcoreError, match="mixer name 'hml' is taken by another class"):
        register_mixer(Thief)
    assert MIXERS["hml"] is not Thief


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(HmlcoreError) as refusal:
        build_mixer("nosuch", 8)
    assert str(refusal.value) == f"unknown mixer 'nosuch'; known: {', '.join(sorted(MIXERS))}"
    assert {"attention", "gru", "hml"} <= set(MIXERS)
    with pytest.raises(
        HmlcoreError,
        match="unknown argument of mixer 'hml' 'heads'; known: conv_size, corrections, decay, "
        r"dynamics, head_dim, norm, num_heads, rotation_heads, rotor_start, rotors, skip$",
    ):
        build_mixer("hml", 8, heads=2)
    with pytest.raises(
        HmlcoreError,
        match="unknown argument of mixer 'hml' 'theta'; known: conv_size, corrections, damping, decay, "
        r"dynamics, head_dim, injection, norm, num_heads, rotation_heads, rotor_start, rotors, skip, "
        r"step_size$",
    ):
        build_mixer("hml", 8, dynamics="leapfrog", theta="few")
    with pytest.raises(HmlcoreError, match="unknown dynamics 'verlet'; known: delta"):
        build_mixer("hml", 8, dynamics="verlet")
    with pytest.raises(
        HmlcoreError, match="unknown argument of mixer 'gru' 'd_model2'; known: conv_size, hidden"
    ):
        build_mixer("gru", 8, d_model2=2)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("attention", {"num_heads": 3}, "num_heads = 3 does not divide d_model = 8"),
        ("attention", {"num_heads": 8}, "RoPE needs an even head dimension, got 1"),
        ("attention", {"conv_size": 0}, "conv_size must be at least 1, got 0"),
        ("gru", {"hidden": 0}, "hidden must be at least 1, got 0"),
        ("gru", {"conv_size": -1}, "conv_size must be at least 1, got -1"),
    ],
)
def test_bad_arguments_are_refused(name, arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        build_mixer(name, 8, **arguments)
