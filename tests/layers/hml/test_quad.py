"""Vector oscillators: their equations, and a free motion that is symplectic and stable whatever is learned."""

import math

import pytest
import torch
import torch.nn.functional as F
from hml_cases import HEADS, SIZE, WIDTH, double, make
from mixer_cases import normal

from hmlcore.layers import HML
from hmlcore.layers.hml.dynamics.quad import free_motion


def test_a_quad_layer_is_its_equations():
    """Kick, drift, kick; forget; strike; read, in a loop over tokens, heads and oscillators."""
    layer, x = make("quad"), double(2, 21, WIDTH)
    r, k, v, _ = layer._project(x, layer.init_state(2, dtype=x.dtype).conv)
    gates = (x @ layer.gate_proj.weight.T + layer.gate_proj.bias).view(2, 21, 3, HEADS)
    beta, alpha, dt = gates.unbind(2)
    beta, alpha = beta.sigmoid(), (-0.05 * layer.log_a.exp() * F.softplus(alpha)).exp()
    dt, omega = 2 * layer.rule.log_h.exp() * dt.sigmoid(), layer.rule.log_omega.exp()
    q, p = torch.zeros(2, 2, HEADS, SIZE, SIZE, dtype=torch.float64)
    outputs = []
    for t in range(21):
        step = dt[:, t, :, None, None]
        w = omega[..., None].expand(2, -1, -1, 1)
        soft = w / (1 + (step * w / 2) ** 2)
        p = p - step / 2 * soft * q
        q = q + step * w * p
        p = p - step / 2 * soft * q
        q, p = (alpha[:, t, :, None, None] * y for y in (q, p))
        p = p + torch.einsum("bh,bhn,bhd->bhnd", beta[:, t], k[:, t], v[:, t])
        outputs.append(torch.einsum("bhn,bhnd->bhd", r[:, t], q + layer.rule.mu[..., None] * p))
    y, state = layer(x)
    torch.testing.assert_close(y, layer._read_out(torch.stack(outputs, 1), v, x, None), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.memory, torch.stack((q, p), 2), rtol=1e-10, atol=1e-12)


def test_free_motion_is_symplectic_stable_and_keeps_its_energy():
    """For every ω and Δ: determinant 1, both eigenvalues e^{±2i·arctan(Δω/2)}, κ²q² + p² conserved."""
    omega, dt = (2 * double(200, seed=1)).exp(), double(200, seed=2).exp()
    m = free_motion(omega, dt)
    torch.testing.assert_close(torch.linalg.det(m), torch.ones(200).double(), rtol=1e-10, atol=0)
    angle = torch.linalg.eigvals(m).angle().abs()[:, 0]
    torch.testing.assert_close(angle, 2 * torch.arctan(dt * omega / 2), rtol=1e-6, atol=1e-7)
    kappa = 1 / (1 + (dt * omega / 2) ** 2)

    def energy(s):
        return (kappa * s[:, 0]) ** 2 + s[:, 1] ** 2

    s = start = double(200, 2, seed=3)
    for _ in range(1000):
        s = (m @ s[..., None]).squeeze(-1)
    torch.testing.assert_close(energy(s), energy(start), rtol=1e-9, atol=0)


def test_a_small_step_is_the_harmonic_oscillator():
    """Exact flow of H = ½ω(q² + p²) to second order in Δ."""
    omega, errors = torch.tensor(1.3).double(), []
    for steps in (100, 200):
        m = torch.linalg.matrix_power(free_motion(omega, torch.tensor(2.0 / steps).double()), steps)
        c, s = math.cos(2.6), math.sin(2.6)
        errors.append(float((m - torch.tensor([[c, s], [-s, c]])).abs().max()))
    assert errors[0] < 1e-3 and errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_undamped_quad_keeps_what_it_holds():
    """α = 1 and nothing written: energy after 2,000 tokens is that of the start, in single precision."""
    layer = HML(WIDTH, dynamics="quad", rotation_heads=4)  # rotating heads do not forget
    with torch.no_grad():
        layer.gate_proj.weight.zero_()
        layer.gate_proj.bias.view(3, HEADS)[0].fill_(-100)  # β = 0
    start = layer.init_state(1)
    start = start._replace(memory=normal(*start.memory.shape))
    _, end = layer(normal(1, 2000, WIDTH), start)
    kappa = 1 / (1 + (layer.rule.log_omega.detach().exp() / 2) ** 2)

    def energy(memory):
        q, p = memory.unbind(2)
        return ((kappa[..., None] * q).square() + p.square()).sum((-2, -1))

    torch.testing.assert_close(energy(end.memory), energy(start.memory), rtol=1e-4, atol=0)
    assert (end.memory - start.memory).norm() > 0.1
