"""The Hamiltonian Memory Layer: its equations, its starting point, and what it records."""

import pytest
import torch
import torch.nn.functional as F
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML, Attention, HMLState, recording
from hmlcore.ops.hamiltonian import delta, euler, leapfrog, naive_hamiltonian

WIDTH, HEADS, SIZE = 12, 2, 6
every_dynamics = pytest.mark.parametrize("dynamics", ["leapfrog", "euler", "delta"])


def make(dynamics="leapfrog"):
    torch.manual_seed(3)
    layer = HML(WIDTH, HEADS, dynamics=dynamics).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return layer


def by_the_equations(layer, x):
    """y as the docstring has it, gate by gate; one row of `gate_proj` a head, β then α then γ."""
    w_r, w_k, w_v = layer.in_proj.weight.view(3, HEADS * SIZE, WIDTH)
    taps = layer.conv.view(3, HEADS * SIZE, 4)

    def mixed(w, tap):
        past = F.pad(x @ w.T, (0, 0, 3, 0))
        y = sum(tap[:, i] * past[:, i : i + x.shape[1]] for i in range(4))
        return (y * torch.sigmoid(y)).view(*x.shape[:2], HEADS, SIZE)

    r, k, v = (mixed(w, tap) for w, tap in zip((w_r, w_k, w_v), taps, strict=True))
    r, k = r / r.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
    rows = layer.gate_proj.weight.view(-1, HEADS, WIDTH)
    biases = layer.gate_proj.bias.view(-1, HEADS)
    beta, alpha, *gamma = (x @ w.T + b for w, b in zip(rows, biases, strict=True))
    beta = 1 / (1 + torch.exp(-beta))
    log_alpha = -0.05 * layer.log_a.exp() * torch.log1p(torch.exp(alpha))
    if layer.dynamics == "delta":
        coefficients = delta(log_alpha, beta)
    else:
        log_gamma = -torch.log1p(torch.exp(-gamma[0]))
        move = {"leapfrog": leapfrog, "euler": euler}[layer.dynamics]
        coefficients = move(log_alpha, log_gamma, beta, layer.rule.log_h.exp(), layer.rule.mu)
    o, state = naive_hamiltonian(r, k, v, coefficients, output_final_state=True)
    o = o / (o.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.norm.weight
    gate = x @ layer.out_gate.weight.T
    y = (o.flatten(-2) * gate * torch.sigmoid(gate)) @ layer.out_proj.weight.T
    return y, state


@every_dynamics
def test_the_layer_is_its_equations(dynamics):
    layer, x = make(dynamics), normal(2, 21, WIDTH, dtype=torch.float64)
    y, state = layer(x)
    wanted, memory = by_the_equations(layer, x)
    torch.testing.assert_close(y, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.memory, memory, rtol=1e-10, atol=1e-12)


@every_dynamics
def test_it_starts_as_a_slow_writer_with_a_long_memory(dynamics):
    """σ(−2) = .1192 and exp(−.05·softplus(−4)) = .99909 where the input says nothing."""
    layer = HML(WIDTH, HEADS, dynamics=dynamics)
    _, gates = layer.coefficients(torch.zeros(1, 1, WIDTH))
    wanted = {"beta": 0.119203, "alpha": 0.999093} | ({} if dynamics == "delta" else {"gamma": 0.119203})
    assert gates.keys() == wanted.keys()
    for name, value in wanted.items():
        assert gates[name].shape == (1, 1, HEADS)
        torch.testing.assert_close(gates[name], torch.full((1, 1, HEADS), value), rtol=1e-5, atol=0)
    if dynamics != "delta":
        assert layer.rule.log_h.exp().tolist() == [1, 1] and layer.rule.mu.tolist() == [0, 0]


def test_gates_keep_their_precision_in_narrow_arithmetic():
    """α ≈ 1 − 9e-4 would round to 1 in bf16, whose numbers near 1 are 4e-3 apart."""
    layer, x = HML(WIDTH, HEADS, dynamics="leapfrog"), normal(1, 4, WIDTH)
    exact = layer.coefficients(x)[1]["alpha"]
    with torch.autocast("cpu", torch.bfloat16):
        cast = layer.coefficients(x)[1]["alpha"]
    assert cast.dtype == torch.float32 and torch.equal(cast, exact)
    narrow = layer.bfloat16().coefficients(x.bfloat16())[1]["alpha"]
    assert narrow.dtype == torch.float32 and narrow.max() < 1
    assert (narrow - exact).abs().max() < 1e-4


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_the_memory_stays_wide_in_narrow_arithmetic():
    layer, x = HML(WIDTH, HEADS, dynamics="leapfrog"), normal(1, 200, WIDTH)
    _, wanted = layer.double()(x.double())
    layer = layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        _, state = layer(x)
        _, after = layer.step(x[:, 0], state)
    assert state.memory.dtype == after.memory.dtype == torch.float32
    assert layer.bfloat16().init_state(1).memory.dtype == torch.float32
    # r, k and v are bf16: the state is as good as they are, not worse with every chunk.
    assert (state.memory - wanted.memory).norm() < 6e-3 * wanted.memory.norm()


def test_recurrence_parameters_are_spared_weight_decay():
    layer = HML(WIDTH, HEADS, dynamics="leapfrog")
    marked = {n for n, p in layer.named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert marked == {"log_a", "rule.log_h", "rule.mu"}


@every_dynamics
def test_the_trace_is_what_happened(dynamics):
    layer, x = make(dynamics), normal(2, 15, WIDTH, dtype=torch.float64)
    start = layer(normal(2, 4, WIDTH, seed=7, dtype=torch.float64))[1]
    with recording(layer) as traces:
        _, end = layer(x, start)
    trace = traces[""]
    k, v, path = trace["key"], trace["value"], trace["state"]
    assert path.shape == (2, 15, HEADS, layer.rows, SIZE, SIZE)
    torch.testing.assert_close(path[:, -1], end.memory, rtol=1e-10, atol=1e-12)

    coefficients, gates = layer.coefficients(x)
    r = layer._project(x, start.conv)[0]
    o, _ = naive_hamiltonian(r, k, v, coefficients, start.memory)
    torch.testing.assert_close(trace["read"], o, rtol=1e-10, atol=1e-12)
    before = torch.cat((start.memory[:, None], path[:, :-1]), 1)
    z = torch.einsum("bthp,bthn,bthpnd->bthd", coefficients.c, k, before) - v
    torch.testing.assert_close(trace["error"], z, rtol=1e-10, atol=1e-12)

    for name, gate in gates.items():
        assert torch.equal(trace[name], gate) and gate.min() > 0 and gate.max() < 1
    miss = torch.einsum("bthn,bthnd->bthd", k, path[:, :, :, 0]) - v
    torch.testing.assert_close(trace["potential"], trace["beta"] / 2 * (miss**2).sum(-1))
    if dynamics == "delta":
        assert "kinetic" not in trace.records[0]
    else:
        torch.testing.assert_close(trace["kinetic"], (path[:, :, :, 1] ** 2).sum((-1, -2)) / 2)


def test_a_trace_goes_on_from_call_to_call():
    layer, x = make(), normal(1, 10, WIDTH, dtype=torch.float64)
    with recording(layer) as whole:
        layer(x)
    with recording(layer) as parts:
        _, state = layer(x[:, :4])
        layer(x[:, 4:], state)
    assert len(parts[""].records) == 2
    torch.testing.assert_close(parts[""]["state"], whole[""]["state"])
    assert not parts[""]["state"].requires_grad


def test_only_what_keeps_a_trace_records():
    with recording(torch.nn.Sequential(Attention(WIDTH, HEADS), torch.nn.Linear(WIDTH, 1))) as traces:
        pass
    assert list(traces) == ["0"] and traces["0"].records == []


def test_recording_ends_when_the_work_fails():
    layer = make()
    with pytest.raises(RuntimeError), recording(layer):
        raise RuntimeError
    assert layer.trace is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dynamics": "verlet"}, "unknown dynamics 'verlet'; known: delta, euler, kick, leapfrog, mlp"),
        ({"num_heads": 5}, "num_heads = 5 does not divide d_model = 12"),
        ({"num_heads": 0}, "num_heads must be at least 1, got 0"),
        ({"head_dim": 0}, "head_dim must be at least 1, got 0"),
        ({"conv_size": 0}, "conv_size must be at least 1, got 0"),
        ({"d_model": 0}, "d_model must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        HML(**{"d_model": WIDTH, "dynamics": "leapfrog"} | arguments)


def test_a_memory_of_another_layer_is_refused():
    layer, state = make(), make("delta").init_state(2)
    with pytest.raises(
        HmlcoreError, match=r"state.memory must have shape \(2, 2, 2, 6, 6\), got \(2, 2, 1, 6, 6\)"
    ):
        layer(normal(2, 3, WIDTH, dtype=torch.float64), HMLState(*state))
