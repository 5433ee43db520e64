"""Rotating heads: exact phases, and the frame that turns along with them."""

import math

import pytest
import torch
import torch.nn.functional as F
from hml_cases import HEADS, LINEAR, NONLINEAR, SIZE, WIDTH, double, make
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML
from hmlcore.layers.hml import RotatingState
from hmlcore.layers.hml.rotation import SLOWNESS
from hmlcore.ops.turns import cumulative_turns, rotate, wrap

every_member = pytest.mark.parametrize("dynamics", LINEAR)


def test_wrapping_is_exact_and_differentiable():
    turns = 100 * normal(1000)
    wrapped = wrap(turns)
    assert wrapped.abs().max() <= 0.5
    assert torch.equal((turns.double() - wrapped.double()).round(), turns.double() - wrapped.double())
    x = torch.tensor([0.7, 3.2], dtype=torch.float64, requires_grad=True)
    assert torch.equal(torch.autograd.grad(wrap(x).sum(), x)[0], torch.ones(2))


@pytest.mark.parametrize("length", [1, 2, 3, 64, 65, 100])
def test_cumulative_turns_are_a_running_sum(length):
    turns, start = double(2, length, 3).requires_grad_(), double(2, 3, seed=2).requires_grad_()
    found = cumulative_turns(turns, start)
    wanted = start[:, None] + turns.cumsum(1)
    gap = found - wanted
    assert (gap - gap.round()).abs().max() < 1e-13 and found.abs().max() <= 0.5
    weight = double(2, length, 3, seed=3)
    for a, b in zip(
        *(torch.autograd.grad((y * weight).sum(), [turns, start]) for y in (found, wanted)), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_a_phase_is_good_for_65536_tokens():
    """About a radian a token: in radians the plain sum is off by 4e-3, and modulo 2π in chunks by 3e-3."""
    turns = 0.16 + 0.01 * normal(1, 65536, 4)
    exact = turns.double().cumsum(1)

    def worst(found, wanted, period):
        gap = found.double() - wanted
        return float((gap - period * (gap / period).round()).abs().max())

    ours = 2 * math.pi * worst(cumulative_turns(turns, torch.zeros(1, 4)), exact, 1)
    radians = 2 * math.pi * turns
    plain = worst(radians.cumsum(1), radians.double().cumsum(1), 2 * math.pi)
    assert ours < 1e-4 < 1e-3 < plain
    first, state = turns.split((40_000, 25_536), 1)
    state = cumulative_turns(state, cumulative_turns(first, torch.zeros(1, 4))[:, -1])[:, -1]
    assert 2 * math.pi * worst(state, exact[:, -1], 1) < 1e-4


def test_a_rotation_turns_value_pairs():
    x, turns = double(2, 3, 6), double(2, 3, seed=2)
    angle = 2 * math.pi * turns[..., None]
    q, p = x[..., 0::2], x[..., 1::2]
    wanted = torch.stack((angle.cos() * q - angle.sin() * p, angle.sin() * q + angle.cos() * p), -1)
    torch.testing.assert_close(rotate(x, turns), wanted.flatten(-2), rtol=1e-13, atol=1e-13)


@every_member
@pytest.mark.parametrize("rotation_heads", [1, 4])
def test_the_rotating_frame_is_the_direct_recurrence(dynamics, rotation_heads):
    """G includes the rotation: the state of a rotating head is turned by φ_t, then everything is as ever."""
    layer, x = make(dynamics, rotation_heads=rotation_heads), double(2, 30, WIDTH)
    r, k, v, _ = layer._project(x, layer.init_state(2, dtype=x.dtype).conv)
    coefficients, gates = layer.coefficients(x)
    still = HEADS - rotation_heads
    assert (gates["alpha"][..., still:] == 1).all() and (gates["alpha"][..., :still] < 1).all()
    turns = SLOWNESS * F.linear(x, layer.rotation.weight, layer.rotation.bias)
    turns = F.pad(turns, (still, 0))
    memory, outputs = torch.zeros(2, HEADS, layer.rows, SIZE, SIZE, dtype=torch.float64), []
    for t in range(30):
        memory = rotate(memory, turns[:, t, :, None, None])
        now = coefficients.map(lambda c, t=t: c[:, t])
        o, memory = layer.rule.advance(r[:, t], k[:, t], v[:, t], now, memory)
        outputs.append(o)
    y, state = layer(x)
    assert (y - layer._read_out(torch.stack(outputs, 1), v, x, None)).abs().max() < 1e-12
    assert isinstance(state, RotatingState)
    gap = state.phase - turns[..., still:].sum(1)
    assert (gap - gap.round()).abs().max() < 1e-12
    seen = rotate(state.memory, F.pad(state.phase, (still, 0))[:, :, None, None])
    assert (seen - memory).abs().max() < 1e-12
    assert turns[..., still:].abs().max() > 0.1


def test_a_rotating_head_can_count():
    """A third of a turn for every one: its phase is their number modulo 3."""
    layer = HML(WIDTH, HEADS, dynamics="delta", rotation_heads=1).double()
    with torch.no_grad():
        layer.rotation.weight.zero_()
        layer.rotation.weight[0, 0] = 1 / 3 / SLOWNESS
    x = torch.zeros(1, 200, WIDTH, dtype=torch.float64)
    x[:, ::2, 0] = 1
    _, state = layer(x)
    assert float(state.phase.detach()) == pytest.approx(1 / 3, abs=1e-12)  # of 100 ones, modulo 3


def test_a_rotating_head_needs_its_phase():
    layer = make("delta", rotation_heads=2)
    for state, found in (
        (make("delta").init_state(2), "None"),
        (make("delta", rotation_heads=1).init_state(2), r"\(2, 1\)"),
    ):
        with pytest.raises(HmlcoreError, match=rf"state.phase must have shape \(2, 2\) .*, got {found}"):
            layer(double(2, 3, WIDTH), state)


@pytest.mark.parametrize("dynamics", NONLINEAR)
def test_rotating_heads_are_refused(dynamics):
    message = f"rotation_heads must be 0 with dynamics='{dynamics}', whose forces are not linear, got 1"
    with pytest.raises(HmlcoreError, match=message):
        HML(WIDTH, HEADS, dynamics=dynamics, rotation_heads=1)
