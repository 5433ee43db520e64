"""The addressed oscillator: the delta rule at the start, its equations, and what its flow conserves."""

import math

import pytest
import torch
import torch.nn.functional as F
from hml_cases import HEADS, SIZE, WIDTH, double, make, unit

from hmlcore.layers import HML
from hmlcore.layers.hml.dynamics import oscillator
from hmlcore.ops.oscillator import as_complex, as_real

every_theta = pytest.mark.parametrize("theta", ["head", "token", "few"])


@every_theta
def test_an_oscillator_layer_starts_as_the_delta_rule(theta):
    torch.manual_seed(0)
    layer = HML(WIDTH, dynamics="oscillator", theta=theta).double()
    rule = HML(WIDTH, dynamics="delta").double()
    rule.load_state_dict({name: x for name, x in layer.state_dict().items() if name != "rule.theta"})
    x = double(2, 50, WIDTH)
    torch.testing.assert_close(layer(x)[0], rule(x)[0], rtol=1e-11, atol=1e-13)
    assert layer.state_size(9) == rule.state_size(9)
    (slope,) = torch.autograd.grad(layer(x)[0].square().sum(), [layer.rule.theta])
    assert slope.abs().min() > 0


@every_theta
def test_an_oscillator_layer_is_its_equations(theta):
    layer, x = make("oscillator", theta=theta), double(2, 21, WIDTH)
    r, k, v, _ = layer._project(x, layer.init_state(2, dtype=x.dtype).conv)
    beta, alpha = (x @ layer.gate_proj.weight.T + layer.gate_proj.bias).view(2, 21, 2, HEADS).unbind(2)
    rho, alpha = 1 - beta.sigmoid(), (-0.05 * layer.log_a.exp() * F.softplus(alpha)).exp()
    angle = layer.rule.theta if theta == "head" else math.pi * torch.tanh(x @ layer.rule.theta.T / 10)
    assert angle.shape[-1] == (1 if theta == "few" else HEADS)
    angle = F.pad(angle, (HEADS - angle.shape[-1], 0))  # the others do not turn
    e = 1 - torch.polar(rho, angle.expand_as(rho))
    memory, outputs = torch.zeros(2, HEADS, SIZE, SIZE // 2, dtype=torch.complex128), []
    for t in range(21):
        key = k[:, t].to(memory.dtype)
        z = torch.einsum("bh,bhn,bhnd->bhd", alpha[:, t].to(key.dtype), key, memory) - as_complex(v[:, t])
        memory = alpha[:, t, :, None, None] * memory - torch.einsum("bh,bhn,bhd->bhnd", e[:, t], key, z)
        outputs.append(as_real(torch.einsum("bhn,bhnd->bhd", r[:, t].to(key.dtype), memory)))
    y, state = layer(x)
    torch.testing.assert_close(y, layer._read_out(torch.stack(outputs, 1), v, x, None), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.memory[:, :, 0], as_real(memory), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("bounds", [None, [0, 5, 21]])
def test_heads_that_stay_may_be_a_memory_of_their_own(bounds, monkeypatch):
    layer, x = make("oscillator", heads=6, width=24), double(1, 21, 24).requires_grad_()
    found = []
    for together in (True, False):
        monkeypatch.setattr(oscillator, "in_one", lambda _, together=together: together)
        y, state = layer(x, cu_seqlens=bounds)
        grads = torch.autograd.grad(y.sin().sum() + state.memory.sum(), [x, *layer.parameters()])
        found.append((y, state.memory, *grads))
    torch.testing.assert_close(*found, rtol=1e-11, atol=1e-12)


def test_the_undamped_oscillator_turns_about_the_association_without_loss():
    layer = make("oscillator", theta="token", damping=1.0)
    with torch.no_grad():
        layer.rule.theta.mul_(10)
    c = layer.coefficients(double(1, 1, WIDTH))[0].map(lambda y: y[:, 0])
    assert not c.log_alpha.any() and not c.log_rho.any() and c.theta.abs().min() > 0.01
    k, v = unit(1, HEADS, SIZE, seed=2), double(1, HEADS, SIZE, seed=3)
    before = double(1, HEADS, 1, SIZE, SIZE, seed=4)
    _, after = layer.rule.advance(k, k, v, c, before)

    def error(memory):
        return as_complex(torch.einsum("bhn,bhnd->bhd", k, memory[:, :, 0]) - v)

    torch.testing.assert_close(error(after), error(before) * torch.exp(1j * c.theta)[..., None])
    moved = before - after
    along = k[:, :, None, :, None] * torch.einsum("bhn,bhpnd->bhpd", k, moved)[..., None, :]
    across = moved - along
    assert across.abs().max() < 1e-14 and (after - before).abs().max() > 1e-3
    _, back = layer.rule.advance(k, k, v, c._replace(theta=-c.theta), after)
    torch.testing.assert_close(back, before, rtol=1e-13, atol=1e-13)


def test_the_oscillator_loses_its_damping_of_the_error():
    layer = make("oscillator", theta="head", damping=0.9)
    c, gates = layer.coefficients(double(1, 1, WIDTH))
    c = c.map(lambda y: y[:, 0])
    torch.testing.assert_close(gates["beta"], torch.full_like(gates["beta"], 0.1))
    k, v = unit(1, HEADS, SIZE, seed=2), double(1, HEADS, SIZE, seed=3)
    before = double(1, HEADS, 1, SIZE, SIZE, seed=4)
    _, after = layer.rule.advance(k, k, v, c, before)
    sizes = [(torch.einsum("bhn,bhnd->bhd", k, m[:, :, 0]) - v).norm(dim=-1) for m in (before, after)]
    torch.testing.assert_close(sizes[1], 0.9 * sizes[0])
