"""Rotors: phases that are read out themselves, and the lattice that what they learned is rounded to."""

import math

import pytest
import torch
from hml_cases import HEADS, WIDTH, double, make

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML
from hmlcore.layers.hml.rotation import SLOWNESS
from hmlcore.ops.turns import cumulative_turns, spread

LONG = 16_384


def counter(turn: float, dtype=torch.float32, **arguments) -> HML:
    """A layer whose one rotor turns by `turn` at every token that has 1 in its first channel."""
    torch.manual_seed(0)
    layer = HML(WIDTH, HEADS, dynamics="delta", rotors=1, **arguments).to(dtype)
    with torch.no_grad():
        layer.rotation.weight.zero_()
        layer.rotation.weight[0, 0] = turn / SLOWNESS
    return layer


def ones(length: int, dtype=torch.float32):
    """Tokens x [1, T, d] of which every other has 1 in its first channel."""
    x = torch.zeros(1, length, WIDTH, dtype=dtype)
    x[:, ::2, 0] = 1
    return x


def test_rotors_are_added_to_what_is_read():
    """y = the layer without rotors + W_r (cos Φ, sin Φ), with the turning heads as ever."""
    layer, x = make("oscillator", rotors=3, rotation_heads=2), double(2, 20, WIDTH)
    plain = make("oscillator", rotation_heads=2)
    weights = layer.state_dict()
    weights["rotation.weight"], weights["rotation.bias"] = layer.rotation.weight[:2], layer.rotation.bias[:2]
    plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
    turns = SLOWNESS * torch.nn.functional.linear(x, layer.rotation.weight, layer.rotation.bias)
    angle = 2 * math.pi * turns.cumsum(1)
    added = layer.rotor_proj(torch.cat((angle.cos(), angle.sin()), -1))
    torch.testing.assert_close(layer(x)[0], plain(x)[0] + added, rtol=1e-10, atol=1e-11)
    assert layer.state_size(20) == plain.state_size(20) + 1


def test_a_snapped_rotor_counts_exactly_however_long_and_in_however_many_calls():
    """A third of a turn, missed by .001: snapped to sixtieths, 8,192 ones are 2 modulo 3, to the bit."""
    layer, x = counter(1 / 3 + 0.001), ones(LONG)
    with torch.no_grad():
        lost = float(layer(x)[1].phase)
        assert abs(lost * 3 - round(lost * 3)) > 0.05
        layer.snap(60)
        _, state = layer(x)
        exact = torch.tensor(math.remainder(LONG // 2 % 3 / 3, 1)).item()
        assert float(state.phase) == exact
        _, middle = layer(x[:, :9_001])
        _, end = layer(x[:, 9_001:], middle)
        assert torch.equal(end.phase, state.phase)
        for t in range(200):
            _, end = layer.step(x[:, t], end)
        assert float(end.phase) == torch.tensor(math.remainder((LONG // 2 + 100) % 3 / 3, 1)).item()
        layer.snap(0)
        assert float(layer(x)[1].phase) == lost


@pytest.mark.parametrize("lattice", [1, 2, 7, 60])
def test_on_a_lattice_sums_are_those_of_integers(lattice):
    turns, start = double(2, 3_000, 3).float(), (double(2, 3, seed=2) / 9).float()
    steps = (turns * lattice).round().long().cumsum(1) + (start * lattice).round().long()[:, None]
    found = cumulative_turns(turns, start, torch.tensor(lattice))
    gap = found * lattice - steps
    assert torch.equal(gap, lattice * (gap / lattice).round())
    assert torch.equal(cumulative_turns(turns, start, torch.tensor(0)), cumulative_turns(turns, start))


def test_a_lattice_is_kept_with_the_weights():
    layer = make("delta", rotors=2)
    layer.snap(60)
    other = make("delta", rotors=2, stir=0.4)
    other.load_state_dict(layer.state_dict())
    x = double(1, 30, WIDTH)
    assert torch.equal(other(x)[0], layer(x)[0])
    layer.snap(0)
    assert not torch.equal(other(x)[0], layer(x)[0])


def test_rotors_start_at_scales_in_equal_ratios():
    assert spread(3) == pytest.approx([0.01, math.sqrt(0.005), 0.5]) and spread(1) == [0.01]
    torch.manual_seed(0)
    wide = HML(4096, 1, head_dim=2, rotors=3)
    assert (SLOWNESS * 64 * wide.rotation.weight.std(1)).tolist() == pytest.approx(spread(3), rel=0.05)
    same = HML(4096, 1, head_dim=2, rotors=2, rotor_start=0.2)
    assert (SLOWNESS * 64 * same.rotation.weight.std(1)).tolist() == pytest.approx([0.2, 0.2], rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rotors": -1}, "rotors must be at least 0, got -1"),
        ({"rotors": 1, "rotation_heads": 2}, "rotors must be 0 or at least rotation_heads = 2, got 1"),
        ({"rotor_start": 0.2}, "rotor_start needs rotors, got 0.2 with rotors = 0"),
        ({"rotors": 2, "rotor_start": 0}, "rotor_start must be above 0 and at most 1, got 0"),
        ({"norm": "layer"}, "norm"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        HML(WIDTH, HEADS, **arguments)


def test_only_rotors_snap():
    with pytest.raises(HmlcoreError, match="rotors = 0"):
        make("delta", rotation_heads=1).snap(60)
    with pytest.raises(HmlcoreError, match="lattice must be at least 0, got -1"):
        make("delta", rotors=1).snap(-1)
    with pytest.raises(HmlcoreError, match=r"lattice must be one, or one for each of 3, got \[60, 0\]"):
        make("delta", rotors=3).snap([60, 0])


def test_each_rotor_may_have_a_lattice_of_its_own():
    layer, x = make("delta", rotors=2), double(1, 50, WIDTH)
    alone = [layer(x)[1].phase]
    for lattice in (60, [0, 60]):
        layer.snap(lattice)
        alone.append(layer(x)[1].phase)
    learned, both, second = alone
    assert torch.equal(second[:, 0], learned[:, 0]) and torch.equal(second[:, 1], both[:, 1])
    assert not torch.equal(both[:, 0], learned[:, 0]) and not torch.equal(both[:, 1], learned[:, 1])
