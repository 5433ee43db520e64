"""Mamba-2 whose channels turn: without a turn it is Mamba-2, else complex arithmetic; and it counts."""

import math

import pytest
import torch
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers.mamba2 import Mamba2, TurnedState
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.training.optim import hidden_matrices

WIDTH = 12


def make(**arguments):
    torch.manual_seed(0)
    layer = Mamba2(WIDTH, d_state=6, head_dim=8, **arguments)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return layer


def test_angles_of_zero_are_mamba2():
    turning, still = make(rotation=True), make()
    with torch.no_grad():
        turning.theta_proj.weight.zero_()
    still.load_state_dict({n: x for n, x in turning.state_dict().items() if n != "theta_proj.weight"})
    x = normal(2, 37, WIDTH)
    y, state = turning(x)
    wanted, memory = still(x)
    torch.testing.assert_close(y, wanted, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(state.memory, memory.memory, rtol=1e-6, atol=1e-6)
    assert state.phase.count_nonzero() == 0


def complex_pairs(x):
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())


def test_it_is_the_complex_recurrence():
    """h ← e^{Δ(A + iθ)} h + Δ x B,  y = Re(h C*) + D x, one token and head at a time."""
    layer, x = make(rotation=True).double(), normal(2, 25, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        layer.theta_proj.weight.mul_(5)  # turns that are not small
    start = layer.init_state(2, dtype=torch.float64)
    (u, dt, a, b, c), z, _ = layer._project(x, start.conv)
    theta, b, c = layer.theta_proj(x), complex_pairs(b), complex_pairs(c)
    y = torch.empty_like(u)
    total = torch.zeros(2, layer.num_heads, 3, dtype=torch.float64)
    h = torch.zeros(2, layer.num_heads, 8, 3, dtype=torch.complex128)
    for t in range(25):
        turn = dt[:, t, :, None] * theta[:, t, None]  # [B, H, N/2]
        total += turn
        move = torch.polar((dt[:, t] * a).exp()[..., None].expand_as(turn), turn)
        h = move[:, :, None] * h + (dt[:, t, :, None] * u[:, t])[..., None] * b[:, t, None, None]
        y[:, t] = (h * c[:, t, None, None].conj()).real.sum(-1)
    assert total.abs().mean() > 1 and total.abs().max() > 2 * math.pi
    found, state = layer(x)
    torch.testing.assert_close(found, layer._read_out(y, u, z), rtol=1e-10, atol=1e-12)
    off = (state.phase - total / (2 * math.pi)) - (state.phase - total / (2 * math.pi)).round()
    assert off.abs().max() < 1e-12
    # At rest, the memory is the complex state.
    turned = complex_pairs(state.memory) * torch.polar(torch.ones_like(total), total)[:, :, None]
    torch.testing.assert_close(turned, h, rtol=1e-10, atol=1e-12)


def counter():
    """A layer for (start, zero, one) that writes the start only, never forgets, and turns half at a one."""
    layer = Mamba2(3, d_state=2, expand=1, head_dim=3, rotation=True)
    z, u, b, c, delta = slice(0, 3), slice(3, 6), slice(6, 8), slice(8, 10), slice(10, 11)
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        layer.in_proj.weight[z] = 1  # the gate is open
        layer.in_proj.weight[u, 0] = 1
        layer.in_proj.weight[b] = layer.in_proj.weight[c] = 1
        layer.in_proj.weight[delta] = 0
        layer.conv[:, -1] = 1
        layer.dt_bias.fill_(math.log(math.e - 1))  # Δ = 1
        layer.log_a.fill_(-torch.inf)
        layer.norm.weight.fill_(1)
        layer.out_proj.weight.copy_(torch.eye(3))
        layer.theta_proj.weight[0, 2] = math.pi
    return layer


def test_a_start_is_spread_from_a_hundredth_of_a_turn_to_what_is_asked_for():
    """Turns a token of a new layer at unit inputs, over heads whose Δ are spread about a hundredth."""
    torch.manual_seed(0)
    layer = Mamba2(64, d_state=6, head_dim=1, rotation=True, rotation_start=0.5)
    torch.nn.init.normal_(layer.theta_proj.weight, std=64**-0.5)
    with torch.no_grad():
        layer.in_proj.weight[-layer.num_heads :] = 0
        phase = layer(normal(2000, 1, 64))[1].phase
        theta = layer.theta_proj(normal(2000, 1, 64))
    steps = torch.nn.functional.softplus(layer.dt_bias.detach())
    assert steps.log().mean().exp().item() == pytest.approx(0.01, rel=0.25)
    factors = torch.tensor(layer.faster) * 0.01 / (2 * math.pi)
    torch.testing.assert_close(factors, torch.tensor([0.01, 0.0707, 0.5]), rtol=1e-2, atol=0)
    wanted = theta * torch.tensor(layer.faster) * steps[:, None] / (2 * math.pi)
    torch.testing.assert_close(phase, wanted - wanted.round(), rtol=1e-3, atol=1e-4)


def test_a_start_without_rotation_is_refused():
    with pytest.raises(HmlcoreError, match=r"rotation_start = 0\.5 needs rotation=True"):
        Mamba2(WIDTH, d_state=6, head_dim=8, rotation_start=0.5)
    with pytest.raises(HmlcoreError, match="rotation_start"):
        Mamba2(WIDTH, d_state=6, head_dim=8, rotation=True, rotation_start=-1.0)


def test_half_a_turn_follows_parity_for_ten_thousand_symbols():
    bits = torch.randint(2, (2, 10_000), generator=torch.Generator().manual_seed(0))
    tokens = torch.cat((torch.zeros(2, 1, dtype=torch.long), bits + 1), 1)
    layer, x = counter(), torch.eye(3)[tokens]
    with torch.no_grad():
        y, state = layer(x)
        step, _ = layer.step(torch.eye(3)[[2, 2]], state)
    parity = bits.cumsum(1).remainder(2)
    wanted = 1 - 2 * parity
    assert torch.equal(y[:, 1:, 0].sign().long(), wanted)
    assert torch.equal(step[:, 0].sign().long(), -wanted[:, -1])
    # The state is as large as at the start: it counts by its angle alone.
    assert (y[:, 1:, 0].abs() - y[0, 0, 0]).abs().max() < 1e-3 * y[0, 0, 0]


def test_the_phase_stays_wide_in_narrow_arithmetic():
    layer, x = make(rotation=True), normal(1, 60, WIDTH)
    exact = layer(x)[1].phase
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(x)
        _, after = layer.step(x[:, 0], state)
    assert state.phase.dtype == after.phase.dtype == torch.float32
    # Δ itself comes from a bf16 product, θ and the sum do not.
    assert (state.phase - exact).abs().max() < 0.02
    assert layer.bfloat16().init_state(1).phase.dtype == torch.float32


def test_the_state_says_what_it_has():
    still, turning = make(), make(rotation=True)
    assert isinstance(turning.init_state(2), TurnedState) and turning.init_state(2).phase.shape == (2, 3, 3)
    assert turning.state_size(9) == still.state_size(9) + 3 * 3
    assert (
        sum(p.numel() for p in turning.parameters()) == sum(p.numel() for p in still.parameters()) + 3 * WIDTH
    )


def test_muon_leaves_the_angles_to_adamw():
    model = Backbone(BackboneConfig(5, "mamba2", WIDTH, 1, 8, {"rotation": True}))
    assert not any("theta" in name for name in hidden_matrices(model))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_state": 5, "rotation": True}, "d_state must be even with rotation=True, got 5"),
        ({"rotation": 2}, "rotation must be"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        Mamba2(WIDTH, **arguments)
