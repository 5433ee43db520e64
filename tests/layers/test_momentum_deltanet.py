"""Momentum DeltaNet: its equations, the bounds of its gates, and that they keep the state bounded."""

import math

import pytest
import torch
import torch.nn.functional as F
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML
from hmlcore.layers.momentum_deltanet import MomentumDeltaNet
from hmlcore.ops.momentum_delta import chunk_momentum_delta

WIDTH, HEADS, N = 12, 2, 6


def make(**arguments):
    torch.manual_seed(3)
    layer = MomentumDeltaNet(WIDTH, HEADS, N, **arguments).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return layer


def by_the_equations(layer, x):
    """One token and one head at a time, gate by gate, as the docstring has it."""
    batch, length, _ = x.shape
    past = F.pad(x @ layer.in_proj.weight.T, (0, 0, 3, 0))
    mixed = sum(layer.conv[:, i] * past[:, i : i + length] for i in range(4))
    mixed = mixed * torch.sigmoid(mixed)
    q, k, v = (
        y.unflatten(-1, (HEADS, -1)) for y in mixed.split((HEADS * N, HEADS * N, HEADS * layer.value_dim), -1)
    )
    alpha, beta, mu, eta = (
        x @ w.T + b
        for w, b in zip(
            layer.gate_proj.weight.view(4, HEADS, WIDTH), layer.gate_proj.bias.view(4, HEADS), strict=True
        )
    )
    a, e, c, d = (p.exp() for p in (layer.log_a, layer.log_e, layer.log_c, layer.log_d))
    eta = 1 + torch.tanh(eta / WIDTH**0.5)
    u2 = (c * eta) ** 2
    alpha = torch.exp(-a * torch.log1p(torch.exp(alpha))) / (1 + u2)
    beta = u2 / (1 + u2) / (1 + torch.exp(-beta))
    mu = torch.exp(-e * torch.log1p(torch.exp(mu))).clamp(min=math.exp(layer.min_log_mu))
    q = q - d[:, None] * k
    q, k = q / q.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)

    o, memory = torch.zeros_like(v), torch.zeros(batch, HEADS, 2, N, layer.value_dim, dtype=x.dtype)
    for b in range(batch):
        for h in range(HEADS):
            s, m = memory[b, h].clone()
            for t in range(length):
                p = k[b, t, h] * (alpha[b, t, h] if layer.predict_decayed else 1)
                m = mu[b, t, h] * m - eta[b, t, h] * torch.outer(k[b, t, h], v[b, t, h] - p @ s)
                s = alpha[b, t, h] * s - beta[b, t, h] * m
                o[b, t, h] = q[b, t, h] @ s
            memory[b, h] = torch.stack((s, m))
    o = o / (o.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.norm.weight
    gate = x @ layer.out_gate.weight.T
    return (o.flatten(-2) * gate * torch.sigmoid(gate)) @ layer.out_proj.weight.T, memory


@pytest.mark.parametrize(
    "arguments",
    [{}, {"expand_v": 2}, {"predict_decayed": False, "min_log_mu": -2.0}],
    ids=str,
)
def test_the_layer_is_its_equations(arguments):
    layer, x = make(**arguments), normal(2, 30, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        y, state = layer(x)
        wanted, memory = by_the_equations(layer, x)
    torch.testing.assert_close(y, wanted, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(state.memory, memory, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", [1, 100])
@pytest.mark.parametrize("bound", [-1.0, -2.0])
def test_gates_stay_within_their_bounds(scale, bound):
    """α + β ≤ 1, e^bound ≤ μ ≤ 1, 0 ≤ η ≤ 2, however large the input."""
    layer = make(min_log_mu=bound)
    log_alpha, log_mu, beta, eta = layer.gates(scale * normal(2, 300, WIDTH, dtype=torch.float64))
    assert all(g.isfinite().all() for g in (log_alpha, log_mu, beta, eta))
    assert (log_alpha.exp() + beta).max() <= 1 + 1e-12 and beta.min() >= 0 and log_alpha.max() <= 0
    assert log_mu.max() <= 0 and log_mu.min() >= bound
    assert eta.min() >= 0 and eta.max() <= 2
    if scale == 100:
        assert log_mu.min() == bound  # the clamp is reached: without it the assertion above says nothing


def growth(alpha, beta, mu=0.99, eta=2.0, length=2000):
    """‖(S, M)‖ after `length` random unit keys and no values, over ‖(S, M)‖ before."""
    k = F.normalize(normal(1, length, 1, 4, dtype=torch.float64), dim=-1)
    gate = torch.ones(1, length, 1, dtype=torch.float64)
    start = normal(1, 1, 2, 4, 3, seed=2, dtype=torch.float64)
    v, log_mu = torch.zeros(1, length, 1, 3, dtype=torch.float64), gate * math.log(mu)
    _, state = chunk_momentum_delta(
        k,
        k,
        v,
        gate * alpha.log(),
        log_mu,
        gate * beta,
        gate * eta,
        initial_state=start,
        output_final_state=True,
    )
    return float(state.norm() / start.norm())


def test_the_bounds_keep_a_momentum_memory_bounded():
    """The hardest gates the layer can reach, β = 1 − α, η = 2: bounded for every α. At α = 1 with the
    same β the memory is driven without friction enough and grows without bound."""
    for alpha in torch.linspace(0.05, 0.95, 10, dtype=torch.float64):
        assert growth(alpha, 1 - alpha) < 10
    assert growth(torch.ones((), dtype=torch.float64), 0.5) > 1e6


@torch.no_grad()
def test_it_starts_as_published():
    """Where the input says nothing: η = 1, β = ½ c²/(1 + c²), and A, E, c, d spread over their ranges."""
    torch.manual_seed(0)
    layer = MomentumDeltaNet(512, 512, 1)
    for name, top in (("log_a", 16), ("log_e", 16), ("log_c", 4), ("log_d", 1)):
        spread = getattr(layer, name).exp()
        assert spread.min() >= 0.0099 and 0.95 * top < spread.max() <= top
        assert float(spread.mean()) == pytest.approx(top / 2, rel=0.1)
    biases = layer.gate_biases()
    steps = F.softplus(biases[0])
    assert torch.equal(biases[0], biases[2]) and 0.001 <= steps.min() < 0.0011 and 0.09 < steps.max() <= 0.1001
    log_alpha, log_mu, beta, eta = (g[0, 0] for g in layer.gates(torch.zeros(1, 1, 512)))
    c2 = layer.log_c.exp().square()
    assert (eta == 1).all()
    torch.testing.assert_close(beta, 0.5 * c2 / (1 + c2))
    torch.testing.assert_close(log_alpha.exp(), torch.exp(-layer.log_a.exp() * steps) / (1 + c2))
    torch.testing.assert_close(log_mu, (-layer.log_e.exp() * steps).clamp(min=-1))


def test_gates_keep_their_precision_in_narrow_arithmetic():
    layer, x = make().float(), normal(1, 5, WIDTH)
    exact = layer.gates(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer.gates(x)
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b)


def test_the_default_keeps_the_floats_of_hml():
    ours, hml = MomentumDeltaNet(32, 4), HML(32, 4, dynamics="leapfrog")
    assert ours.init_state(1).memory.numel() == hml.init_state(1).memory.numel() == 2 * 4 * 8 * 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_log_mu": 0.5}, "min_log_mu must be finite and at most 0, got 0.5"),
        ({"num_heads": 5}, "num_heads = 5 does not divide d_model = 12"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        MomentumDeltaNet(**{"d_model": WIDTH} | arguments)
