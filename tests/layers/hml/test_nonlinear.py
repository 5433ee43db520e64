"""HML with nonlinear potentials, sep, mlp and kick: their equations, their bounds, what makes them quad."""

import math

import pytest
import torch
from hml_cases import HEADS, NONLINEAR, SIZE, WIDTH, double, make
from mixer_cases import make as stirred
from mixer_cases import normal

from hmlcore.layers import HML, recording
from hmlcore.layers.hml.dynamics.nonlinear import BEND, soften

every_one = pytest.mark.parametrize("dynamics", NONLINEAR)


def test_the_three_start_with_a_small_step():
    assert NONLINEAR == ["sep", "mlp", "kick"]
    for name in NONLINEAR:
        assert HML(WIDTH, dynamics=name).rule.log_h.exp().tolist() == pytest.approx([1 / 4] * HEADS)


def gates_of(layer, x):
    """β, α and Δ [B, T, H], written out."""
    gates = (x @ layer.gate_proj.weight.T + layer.gate_proj.bias).view(*x.shape[:2], 3, HEADS)
    beta, alpha, dt = gates.unbind(2)
    alpha = (-0.05 * layer.log_a.exp() * torch.nn.functional.softplus(alpha)).exp()
    return beta.sigmoid(), alpha, 2 * layer.rule.log_h.exp() * dt.sigmoid()


def network_force(layer, q):
    """∇ outᵀtanh(Wq + b), by autograd, for q [B, H, N, D]."""

    def energy(q):
        hidden = torch.einsum("hmn,bhnd->bhmd", layer.rule.net.weight, q) + layer.rule.net.bias[..., None]
        return torch.einsum("hm,bhmd->", layer.rule.net.out, hidden.tanh())

    return torch.func.grad(energy)(q)


@every_one
def test_a_layer_is_its_equations(dynamics):
    """Kick, drift, kick with the weakened force; forget; strike; read, token by token."""
    layer, x = make(dynamics), double(2, 37, WIDTH)
    r, k, v, _ = layer._project(x, layer.init_state(2, dtype=x.dtype).conv)
    beta, alpha, dt = gates_of(layer, x)
    omega, mu = layer.rule.log_omega.exp()[..., None], layer.rule.mu[..., None]
    bend = torch.zeros(HEADS).double()
    if dynamics == "mlp":
        rows = (layer.rule.net.weight.square() * layer.rule.log_omega.exp()[:, None]).sum(-1)
        bend = BEND * (layer.rule.net.out.abs() * rows).sum(-1)
    q, p = torch.zeros(2, 2, HEADS, SIZE, SIZE, dtype=torch.float64)
    outputs = []
    for t in range(37):
        step = dt[:, t, :, None, None]
        soft = 1 / (1 + (step / 2) ** 2 * (omega**2 + bend[:, None, None]))

        def half_kick(q, step=step, soft=soft):
            if dynamics == "sep":
                return step / 2 * soft * omega * q.tanh()
            force = step / 2 * soft * omega * q
            if dynamics == "mlp":
                force = force + step / 2 * soft.amin(-2, keepdim=True) * network_force(layer, q)
            return force

        if dynamics == "kick" and t % 16 == 0:
            p = p - network_force(layer, q)
        p = p - half_kick(q)
        q = q + step * omega * p
        p = p - half_kick(q)
        q, p = (alpha[:, t, :, None, None] * y for y in (q, p))
        p = p + torch.einsum("bh,bhn,bhd->bhnd", beta[:, t], k[:, t], v[:, t])
        outputs.append(torch.einsum("bhn,bhnd->bhd", r[:, t], q + mu * p))
    y, state = layer(x)
    torch.testing.assert_close(y, layer._read_out(torch.stack(outputs, 1), v, x, None), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(state.memory, torch.stack((q, p), 2), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dynamics", ["mlp", "kick"])
def test_with_a_silent_network_it_is_quad(dynamics):
    layer, rule = make(dynamics), HML(WIDTH, HEADS, dynamics="quad").double()
    with torch.no_grad():
        layer.rule.net.out.zero_()
    rule.load_state_dict({name: x for name, x in layer.state_dict().items() if ".net." not in name})
    x = double(2, 40, WIDTH)
    torch.testing.assert_close(layer(x)[0], rule(x)[0], rtol=1e-10, atol=1e-12)


def test_small_log_cosh_wells_are_quad():
    """The memory's difference from quad's falls with the cube of its size: the force of a well is odd."""
    layer, rule = make("sep"), HML(WIDTH, HEADS, dynamics="quad").double()
    rule.load_state_dict(layer.state_dict())
    x, gaps = double(1, 30, WIDTH), []
    r, k, v, _ = layer._project(x, layer.init_state(1, dtype=x.dtype).conv)
    for scale in (1e-2, 5e-3):
        start = layer.init_state(1, dtype=x.dtype).memory
        ends = []
        for each in (layer, rule):
            c, _ = each.coefficients(x)
            ends.append(each.rule.scan(r, k, scale * v, c, start)[1])
        gaps.append(float((ends[0] - ends[1]).norm().detach()))
        assert 0 < gaps[-1] < 1e-2 * float(ends[1].norm().detach())
    assert gaps[0] / gaps[1] == pytest.approx(8, rel=0.02)


def test_the_step_is_below_the_bound_of_stability_whatever_it_learns():
    """Δ² times the largest curvature, at random states of networks that are loud, is below 4."""
    n, m, closest = 6, 6, 0.0
    for seed in range(20):
        weight, out = 2 * double(1, m, n, seed=seed), 4 * double(1, m, seed=100 + seed)
        omega, dt = (2 * double(1, n, seed=200 + seed)).exp(), (2 * double(1, 1, 1, seed=300 + seed)).exp()
        bend = BEND * (out.abs() * (weight.square() * omega[:, None]).sum(-1)).sum(-1)
        drift, pull, push = soften(omega, dt, bend)
        hidden = double(m, seed=400 + seed).tanh()
        slope = out[0] * -2 * hidden * (1 - hidden**2)
        kick = torch.diag(pull[0, 0, 0]) + push[0, 0, 0] * weight[0].T @ torch.diag(slope) @ weight[0]
        root = drift[0, 0, 0].sqrt()
        found = float(torch.linalg.eigvalsh(2 * root[:, None] * kick * root).max())
        assert found < 4
        closest = max(closest, found)
    assert closest > 2  # the bound is not idle
    drift, pull, _ = soften(omega, dt)
    assert (2 * drift * pull < 4).all()


@every_one
def test_gradients_are_finite_over_a_long_sequence(dynamics):
    layer, x = stirred(f"hml-{dynamics}"), normal(1, 4096, WIDTH).requires_grad_()
    y, _ = layer(x)
    grads = torch.autograd.grad(y[:, -64:].square().sum(), [x, *layer.parameters()])
    assert y.isfinite().all()
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in grads)


@every_one
def test_a_gradient_comes_back_over_four_thousand_tokens(dynamics):
    """At the start of training it neither vanishes nor grows out of bounds."""
    torch.manual_seed(0)
    layer, x = HML(WIDTH, HEADS, dynamics=dynamics), normal(1, 4096, WIDTH).requires_grad_()
    (g,) = torch.autograd.grad(layer(x)[0][:, -1].square().sum(), x)
    near, far = (float(g[0, 4095 - lag].norm()) for lag in (16, 4092))
    assert 1e-4 * near < far < 1e3 * near


@pytest.mark.parametrize("dynamics", ["sep", "mlp"])
def test_undamped_dynamics_keep_the_energy_of_what_they_hold(dynamics):
    """α = 1, β = 0 and a constant, small Δ: H = ½Σωp² + V, as the trace has it, over 2,000 tokens."""
    torch.manual_seed(0)
    layer = HML(WIDTH, dynamics=dynamics).double()
    with torch.no_grad():
        layer.gate_proj.weight.zero_()
        layer.gate_proj.bias.view(3, HEADS)[0].fill_(-100)
        layer.gate_proj.bias.view(3, HEADS)[1].fill_(-100)
        layer.rule.log_h.fill_(math.log(0.05))
    start = layer.init_state(1, dtype=torch.float64)
    start = start._replace(memory=double(*start.memory.shape))
    with recording(layer) as traces:
        layer(double(1, 2000, WIDTH), start)
    trace = traces[""]
    energy = trace["potential"] + trace["kinetic"]
    assert energy.shape == (1, 2000, HEADS)
    assert ((energy - energy[:, :1]) / energy[:, :1]).abs().max() < 1e-3
    assert trace["kinetic"].std(1).min() > 1e-2  # the two exchange it


@every_one
def test_a_trace_has_the_energies_of_its_dynamics(dynamics):
    layer, x = make(dynamics), double(2, 20, WIDTH)
    with recording(layer) as traces:
        _, end = layer(x)
    trace, omega = traces[""], layer.rule.log_omega.exp()[..., None]
    path = trace["state"]
    torch.testing.assert_close(path[:, -1], end.memory, rtol=1e-10, atol=1e-12)
    q, p = path.unbind(3)
    torch.testing.assert_close(trace["kinetic"], 0.5 * (omega * p.square()).sum((-2, -1)).detach())
    if dynamics == "sep":
        wanted = (omega * q.cosh().log()).sum((-2, -1))
    else:
        hidden = torch.einsum("hmn,bthnd->bthmd", layer.rule.net.weight, q) + layer.rule.net.bias[..., None]
        wanted = 0.5 * (omega * q.square()).sum((-2, -1))
        wanted = wanted + torch.einsum("hm,bthmd->bth", layer.rule.net.out, hidden.tanh())
    torch.testing.assert_close(trace["potential"], wanted.detach(), rtol=1e-9, atol=1e-10)


def test_a_network_costs_what_it_multiplies():
    """Twice W and its transpose a token for mlp, once in 16 tokens for kick; each N × D on every head."""
    cost = {name: HML(WIDTH, dynamics=name).flops_per_token(1) for name in ("quad", *NONLINEAR)}
    network = 2 * 2 * HEADS * SIZE**3
    assert cost["sep"] == cost["quad"]
    # The network's biases and outer weights are counted as maps, applied once.
    vectors = 2 * 2 * HEADS * SIZE
    assert cost["mlp"] - cost["quad"] == 2 * network + vectors
    assert cost["kick"] - cost["quad"] == network / 16 + vectors
