"""LinOSS: the steps against the equations they solve, their physics, and the layer against a plain loop."""

import math

import pytest
import torch
import torch.nn.functional as F
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers.linoss import DYNAMICS, LinOSS, transition

WIDTH = 6
every_dynamics = pytest.mark.parametrize("dynamics", DYNAMICS)


def make(dynamics, **arguments):
    torch.manual_seed(4)
    return LinOSS(WIDTH, **{"d_state": 9, "dynamics": dynamics} | arguments).double()


def solved(dynamics, a, g, dt, z, y, f):
    """One step of the schemes as the papers write them, the implicit ones by solving for (z, y)."""
    if dynamics == "im":  # z′ + Δ A y′ = z + Δ f,  y′ − Δ z′ = y
        system, right = [[1, dt * a], [-dt, 1]], [z + dt * f, y]
    elif dynamics == "imex":  # z′ = z + Δ(−A y + f),  y′ − Δ z′ = y
        system, right = [[1, 0], [-dt, 1]], [z - dt * a * y + dt * f, y]
    else:  # (1 + Δ G) z′ = z + Δ(−A y + f),  y′ − Δ z′ = y
        system, right = [[1 + dt * g, 0], [-dt, 1]], [z - dt * a * y + dt * f, y]
    return torch.linalg.solve(*(torch.tensor(m, dtype=torch.float64) for m in (system, right)))


@every_dynamics
def test_a_step_solves_the_discretised_equation(dynamics):
    a, g, dt = (normal(20, seed=s, dtype=torch.float64).exp() for s in (1, 2, 3))
    z, y, f = normal(3, 20, seed=4, dtype=torch.float64)
    m, force = transition(dynamics, a, g, dt)
    found = (m @ torch.stack((z, y), -1)[..., None]).squeeze(-1) + force * f[:, None]
    for i in range(20):
        wanted = solved(dynamics, *(float(x[i]) for x in (a, g, dt, z, y, f)))
        torch.testing.assert_close(found[i], wanted, rtol=1e-12, atol=1e-13)


def test_what_each_step_does_to_phase_space():
    a, g, dt = torch.rand(3, 50, dtype=torch.float64)
    det = {d: torch.linalg.det(transition(d, a, g, dt)[0]) for d in DYNAMICS}
    torch.testing.assert_close(det["im"], 1 / (1 + dt**2 * a))
    torch.testing.assert_close(det["imex"], torch.ones(50).double())
    torch.testing.assert_close(det["damped"], 1 / (1 + dt * g))
    radius = torch.linalg.eigvals(transition("imex", a, None, dt)[0]).abs()
    torch.testing.assert_close(radius, torch.ones(50, 2).double())
    for other, damped in zip(transition("imex", a, None, dt), transition("damped", a, 0 * g, dt), strict=True):
        torch.testing.assert_close(other, damped)


def test_a_small_step_approaches_the_harmonic_oscillator():
    """Free motion from y = 1, z = 0 over time 1: y = cos ω, first order in Δ."""
    omega = 2.0
    for dynamics in ("im", "imex"):
        errors = []
        for steps in (100, 200):
            a, dt = torch.tensor([omega**2]).double(), torch.tensor([1 / steps]).double()
            m, _ = transition(dynamics, a, None, dt)
            end = torch.linalg.matrix_power(m[0], steps) @ torch.tensor([0.0, 1]).double()
            errors.append(abs(float(end[1]) - math.cos(omega)))
        assert errors[0] < 0.05 and errors[0] / errors[1] == pytest.approx(2, rel=0.1)


@every_dynamics
def test_the_layer_is_the_equations_in_a_loop(dynamics):
    """Complex B and C, one token at a time, in float64: outputs, state and gradients."""
    layer, x = make(dynamics), normal(2, 50, WIDTH, dtype=torch.float64).requires_grad_()

    def by_loop():
        b, c = (torch.view_as_complex(w.unflatten(-1, (-1, 2)).contiguous()) for w in (layer.b.T, layer.c))
        a, g, dt = layer.oscillators()
        past = F.pad(x, (0, 0, 3, 0))
        mixed = sum(layer.conv[:, i] * past[:, i : i + 50] for i in range(4))
        u = mixed * torch.sigmoid(mixed)
        m, force = transition(dynamics, a, g, dt)
        z = y = torch.zeros(2, 9, dtype=torch.complex128)
        outputs = []
        for t in range(50):
            f = u[:, t].to(b.dtype) @ b
            z, y = (m[:, i, 0] * z + m[:, i, 1] * y + force[:, i] * f for i in range(2))
            outputs.append((y @ c.T).real + layer.skip * u[:, t])
        v = torch.stack(outputs, 1)
        v = v * 0.5 * (1 + torch.erf(v / 2**0.5))
        w, gate = layer.out_proj, layer.out_gate
        out = (v @ w.weight.T + w.bias) * torch.sigmoid(v @ gate.weight.T + gate.bias)
        return out, torch.stack([torch.view_as_real(s) for s in (z, y)], -1)

    wanted, last = by_loop()
    y, state = layer(x)
    torch.testing.assert_close(y, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.memory, last, rtol=1e-10, atol=1e-12)
    leaves, weight = [x, *layer.parameters()], normal(*y.shape, seed=3, dtype=torch.float64)
    results = [torch.autograd.grad((out * weight).sum(), leaves) for out in (y, wanted)]
    for found, exact in zip(*results, strict=True):
        assert (found - exact).norm() < 1e-10 * exact.norm().clamp_min(1e-12)


@pytest.mark.parametrize("r_min", [0.5, 0.9])
def test_damped_oscillators_start_in_the_published_ring(r_min):
    """|λ|² uniform between r_min² and 1, the angle uniform between 0 and π; clipping moves no A."""
    layer = make("damped", d_state=2000, r_min=r_min)
    a, g, dt = layer.oscillators()
    torch.testing.assert_close(a, layer.a, rtol=1e-5, atol=0)
    torch.testing.assert_close(g, layer.g, rtol=1e-5, atol=0)
    eigenvalues = torch.linalg.eigvals(transition("damped", a, g, dt)[0])
    radius, angle = eigenvalues[:, 0].abs(), eigenvalues[:, 0].angle().abs()
    assert r_min - 1e-9 <= radius.min() and radius.max() <= 1
    for sample in ((radius**2 - r_min**2) / (1 - r_min**2), angle / math.pi):
        quantiles = torch.quantile(sample.double(), torch.linspace(0, 1, 11).double())
        torch.testing.assert_close(quantiles, torch.linspace(0, 1, 11).double(), rtol=0, atol=0.05)


@every_dynamics
def test_step_sizes_and_frequencies_start_as_published(dynamics):
    layer = make(dynamics, d_state=2000)
    assert abs(layer.dt.std() - 0.5) < 0.03 and abs(layer.dt.mean()) < 0.04
    assert layer.b.abs().max() <= WIDTH**-0.5
    assert 0.9 * 2000**-0.5 < layer.c.abs().max() <= 2000**-0.5
    if dynamics != "damped":
        assert 0 <= layer.a.min() < 0.01 and 0.99 < layer.a.max() <= 1


def test_no_setting_of_the_damped_parameters_is_unstable():
    layer = make("damped", d_state=3000)
    with torch.no_grad():
        for p, seed in ((layer.a, 1), (layer.g, 2), (layer.dt, 3)):
            p.copy_(10 * normal(3000, seed=seed, dtype=torch.float64))
    m, _ = transition("damped", *layer.oscillators())
    assert torch.linalg.eigvals(m).abs().max() < 1 + 1e-6
    for dynamics in ("im", "imex"):
        a, g, _ = make(dynamics).oscillators()
        assert g is None and a.min() >= 0


def test_the_memory_stays_wide_in_narrow_arithmetic():
    layer, x = make("imex").float(), normal(1, 60, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(x)
    assert state.memory.dtype == torch.float32
    assert layer.bfloat16().init_state(1).memory.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dynamics": "ex"}, "unknown dynamics 'ex'; known: damped, im, imex"),
        ({"d_state": 0}, "d_state must be at least 1, got 0"),
        ({"r_min": 0.0}, "r_min must be above 0 and at most 1, got 0.0"),
        ({"r_min": 1.1}, "r_min must be above 0 and at most 1, got 1.1"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        LinOSS(WIDTH, **arguments)
