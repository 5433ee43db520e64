"""The family of HML: rotating heads, addressed oscillators and vector oscillators against their equations."""

import math

import pytest
import torch
import torch.nn.functional as F
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML, HMLState, build_mixer, recording
from hmlcore.layers.hml import FAMILY, RotatingState
from hmlcore.layers.hml.dynamics.quad import free_motion
from hmlcore.layers.hml.rotation import SLOWNESS, cumulative_turns, rotate, wrap
from hmlcore.ops.hamiltonian import chunk_hamiltonian, delta, leapfrog, naive_hamiltonian
from hmlcore.ops.hamiltonian.check import check_stability
from hmlcore.ops.oscillator import as_complex, as_real

WIDTH, HEADS, SIZE = 16, 4, 4
every_member = pytest.mark.parametrize(
    "dynamics", [name for name, kind in FAMILY.items() if kind.turns_with_values]
)
every_oscillator = pytest.mark.parametrize("theta", ["head", "token"])


def make(dynamics, **arguments):
    torch.manual_seed(3)
    layer = HML(WIDTH, HEADS, dynamics=dynamics, **arguments).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return layer


def double(*shape, seed=1):
    return normal(*shape, seed=seed, dtype=torch.float64)


LEARNED = {
    "leapfrog": ["log_h", "mu"],
    "euler": ["log_h", "mu"],
    "delta": [],
    "oscillator": ["theta"],
    "quad": ["log_h", "log_omega", "mu"],
    "sep": ["log_h", "log_omega", "mu"],
    "mlp": ["log_h", "log_omega", "mu", "net.weight", "net.bias", "net.out"],
    "kick": ["log_h", "log_omega", "mu", "net.weight", "net.bias", "net.out"],
}


@pytest.mark.parametrize("dynamics", FAMILY)
def test_parameters_have_the_order_of_committed_results(dynamics):
    """The norm of a gradient is summed in it: what dynamics learn comes before the projections."""
    layer = HML(WIDTH, dynamics=dynamics)
    assert [name for name, _ in layer.named_parameters()] == [
        "conv", "log_a", *(f"rule.{name}" for name in LEARNED[dynamics]),
        "in_proj.weight", "gate_proj.weight", "gate_proj.bias", "norm.weight", "out_gate.weight",
        "out_proj.weight",
    ]  # fmt: skip
    assert layer.init_state(1)._fields == ("memory", "conv", *(["clock"] if dynamics == "kick" else []))


@pytest.mark.parametrize("dynamics", ["leapfrog", "mlp"])
def test_random_numbers_are_drawn_in_the_order_of_committed_results(dynamics):
    torch.manual_seed(0)
    layer = HML(WIDTH, dynamics=dynamics)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    wanted = [
        torch.nn.Linear(WIDTH, 3 * WIDTH, bias=False).weight,
        torch.empty(3 * WIDTH, 4).uniform_(-0.5, 0.5),
        torch.nn.Linear(WIDTH, 3 * HEADS).weight,
    ]
    found = [layer.in_proj.weight, layer.conv, layer.gate_proj.weight]
    if dynamics == "mlp":
        wanted += [0.5 * torch.randn(HEADS, SIZE, SIZE), 0.1 * 0.5 * torch.randn(HEADS, SIZE)]
        found += [layer.rule.net.weight, layer.rule.net.out]
    wanted += [torch.nn.Linear(WIDTH, WIDTH, bias=False).weight for _ in range(2)]
    found += [layer.out_gate.weight, layer.out_proj.weight]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert torch.equal(torch.rand(1), drawn)


@pytest.mark.parametrize("dynamics", FAMILY)
def test_weights_are_read_that_were_saved_when_the_layer_owned_them(dynamics):
    layer, other = make(dynamics), HML(WIDTH, dynamics=dynamics).double()
    former = {"net.weight": "well_weight", "net.bias": "well_bias", "net.out": "well_out"}
    saved = layer.state_dict()
    for name in LEARNED[dynamics]:
        saved[former.get(name, name)] = saved.pop(f"rule.{name}")
    names = set(saved)
    other.load_state_dict(saved)
    assert set(saved) == names
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), other.parameters(), strict=True))
    del saved["log_a"]
    with pytest.raises(RuntimeError, match=r'Missing key.*: "log_a"'):
        other.load_state_dict(saved)


@every_member
def test_it_is_built_by_name(dynamics):
    layer = build_mixer("hml", WIDTH, dynamics=dynamics, rotation_heads=1)
    assert isinstance(layer, HML) and layer.dynamics == dynamics
    spared = {n for n, p in layer.named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert {"log_a", "rotation.weight", "rotation.bias"} <= spared
    assert spared == {
        n for n in layer.state_dict() if "proj" not in n and n not in ("conv", "norm.weight", "out_gate.weight")
    }


# Rotation


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
    assert (y - layer._read_out(torch.stack(outputs, 1), x)).abs().max() < 1e-12
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


@every_member
def test_a_trace_shows_rotating_heads_at_rest(dynamics):
    layer, x = make(dynamics, rotation_heads=2), double(2, 9, WIDTH)
    start = layer(double(2, 4, WIDTH, seed=7))[1]
    with recording(layer) as traces:
        _, end = layer(x, start)
    trace = traces[""]
    v = layer._project(x, start.conv)[2]
    torch.testing.assert_close(trace["value"], v, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(trace["phase"][:, -1], 2 * math.pi * end.phase)
    turned = rotate(end.memory[:, 2:], end.phase[..., None, None])
    path = trace["state"]
    assert path.shape == (2, 9, HEADS, layer.rows, SIZE, SIZE)
    torch.testing.assert_close(path[:, -1, 2:], turned, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(path[:, -1, :2], end.memory[:, :2], rtol=1e-11, atol=1e-12)
    assert trace["potential"].shape == (2, 9, HEADS) and ("kinetic" in trace.records[0]) == (layer.rows == 2)


# Addressed oscillators


@every_oscillator
def test_an_oscillator_layer_starts_as_the_delta_rule(theta):
    torch.manual_seed(0)
    oscillator = HML(WIDTH, dynamics="oscillator", theta=theta).double()
    rule = HML(WIDTH, dynamics="delta").double()
    rule.load_state_dict({name: x for name, x in oscillator.state_dict().items() if name != "rule.theta"})
    x = double(2, 50, WIDTH)
    torch.testing.assert_close(oscillator(x)[0], rule(x)[0], rtol=1e-11, atol=1e-13)
    assert oscillator.state_size(9) == rule.state_size(9)
    (slope,) = torch.autograd.grad(oscillator(x)[0].square().sum(), [oscillator.rule.theta])
    assert slope.abs().min() > 0


@every_oscillator
def test_an_oscillator_layer_is_its_equations(theta):
    layer, x = make("oscillator", theta=theta), double(2, 21, WIDTH)
    r, k, v, _ = layer._project(x, layer.init_state(2, dtype=x.dtype).conv)
    beta, alpha = (x @ layer.gate_proj.weight.T + layer.gate_proj.bias).view(2, 21, 2, HEADS).unbind(2)
    rho, alpha = 1 - beta.sigmoid(), (-0.05 * layer.log_a.exp() * F.softplus(alpha)).exp()
    angle = layer.rule.theta if theta == "head" else math.pi * torch.tanh(x @ layer.rule.theta.T / 10)
    e = 1 - torch.polar(rho, angle.expand_as(rho))
    memory, outputs = torch.zeros(2, HEADS, SIZE, SIZE // 2, dtype=torch.complex128), []
    for t in range(21):
        key = k[:, t].to(memory.dtype)
        z = torch.einsum("bh,bhn,bhnd->bhd", alpha[:, t].to(key.dtype), key, memory) - as_complex(v[:, t])
        memory = alpha[:, t, :, None, None] * memory - torch.einsum("bh,bhn,bhd->bhnd", e[:, t], key, z)
        outputs.append(as_real(torch.einsum("bhn,bhnd->bhd", r[:, t].to(key.dtype), memory)))
    y, state = layer(x)
    torch.testing.assert_close(y, layer._read_out(torch.stack(outputs, 1), x), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.memory[:, :, 0], as_real(memory), rtol=1e-10, atol=1e-12)


# Vector oscillators


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
    torch.testing.assert_close(y, layer._read_out(torch.stack(outputs, 1), x), rtol=1e-10, atol=1e-12)
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


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dynamics": "pendulum"}, "unknown dynamics 'pendulum'; known: delta, euler, kick, leapfrog, mlp"),
        ({"theta": "layer"}, "unknown theta 'layer'; known: few, head, token"),
        ({"rotation_heads": 5}, "rotation_heads must be between 0 and num_heads = 4, got 5"),
        ({"rotation_heads": -1}, "rotation_heads must be between 0 and num_heads = 4, got -1"),
        ({"rotation_heads": 1, "head_dim": 3}, "head_dim must be even to hold pairs of value channels, got 3"),
        ({"dynamics": "oscillator", "head_dim": 5}, "head_dim must be even .* got 5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        HML(WIDTH, HEADS, **arguments)


def direct(name=None, value=None, *, gamma=0.5, beta=0.5, h=1.0):
    """Coefficients for the op, one entry of one of them replaced."""
    gate = torch.zeros(1, 3, 1, dtype=torch.float64)
    x = leapfrog(gate - 0.1, gate + math.log(gamma), gate + beta, gate + h, gate)
    if name is not None:
        changed = getattr(x, name).clone()
        changed[0, 1, 0] = value
        x = x._replace(**{name: changed})
    return x


@pytest.mark.parametrize("form", [naive_hamiltonian, chunk_hamiltonian])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("log_alpha", 0.2, r"log_alpha must be at most 0 \(alpha in \[0, 1\]\), got 0\.2"),
        ("log_gamma", 0.5, r"log_gamma must be at most 0, or -log_alpha .* got 0\.5 where log_alpha is -0\.1"),
        ("log_gamma", math.nan, "log_gamma must be at most 0, .* got nan"),
        ("drift", math.inf, r"coefficients\.drift must be finite, got inf"),
        ("e", math.nan, r"coefficients\.e must be finite, got nan"),
    ],
)
def test_gates_passed_to_the_op_are_refused_outside_their_range(form, name, value, message):
    k, v = F.normalize(double(1, 3, 1, 4), dim=-1), double(1, 3, 1, 2)
    with pytest.raises(HmlcoreError, match=message):
        form(k, k, v, direct(name, value))
    form(k, k, v, direct())
    form(k, k, v, direct("log_gamma", -math.inf))  # the over-damped limit is no mistake
    form(k, k, v, direct("log_gamma", 0.05))  # nor a momentum gate μ = αγ of its own


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_steps_beyond_the_bound_of_stability_are_refused_where_asked(gamma, monkeypatch):
    bound = 2 * (1 + gamma)
    check_stability(direct(gamma=gamma, beta=0.999 * bound))
    check_stability(direct(gamma=gamma, beta=0.999 * bound / 4, h=2.0))
    check_stability(delta(torch.zeros(1, 1, 1), torch.full((1, 1, 1), 5.0)))  # has no such bound
    wild = direct(gamma=gamma, beta=1.001 * bound / 4, h=2.0)
    message = rf"beta times h squared must be below 2\(1 \+ gamma\) = {bound:g}, got"
    with pytest.raises(HmlcoreError, match=message):
        check_stability(wild)
    k, v = F.normalize(double(1, 3, 1, 4), dim=-1), double(1, 3, 1, 2)
    naive_hamiltonian(k, k, v, wild)
    monkeypatch.setenv("HMLCORE_CHECK_GATES", "1")
    with pytest.raises(HmlcoreError, match=message):
        naive_hamiltonian(k, k, v, wild)


def test_a_memory_of_another_member_is_refused():
    layer, other = make("oscillator"), make("quad").init_state(2)
    with pytest.raises(HmlcoreError, match="must have shape"):
        layer(double(2, 3, WIDTH), HMLState(*other))
    with pytest.raises(HmlcoreError, match="must have shape"):
        make("quad")(double(2, 3, WIDTH), layer.init_state(2))


def test_a_rotating_head_needs_its_phase():
    layer = make("delta", rotation_heads=2)
    for state, found in (
        (make("delta").init_state(2), "None"),
        (make("delta", rotation_heads=1).init_state(2), r"\(2, 1\)"),
    ):
        with pytest.raises(HmlcoreError, match=rf"state.phase must have shape \(2, 2\) .*, got {found}"):
            layer(double(2, 3, WIDTH), state)
