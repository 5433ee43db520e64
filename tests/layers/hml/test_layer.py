"""The Hamiltonian Memory Layer: its equations, its starting point, its weights by name and order."""

import pytest
import torch
import torch.nn.functional as F
from hml_cases import HEADS, LINEAR, SIZE, WIDTH, double, make
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML, HMLState, build_mixer
from hmlcore.layers.base import decaying
from hmlcore.layers.hml import FAMILY
from hmlcore.ops.hamiltonian import delta, euler, leapfrog, naive_hamiltonian

every_member = pytest.mark.parametrize("dynamics", FAMILY)
every_dynamics = pytest.mark.parametrize("dynamics", ["leapfrog", "euler", "delta"])
# What dynamics learn, in order.
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


def by_the_equations(layer, x):
    """y as the docstring has it, gate by gate; one row of `gate_proj` a head, β then α then γ."""
    heads, size = layer.num_heads, layer.head_dim
    w_r, w_k, w_v = layer.in_proj.weight.view(3, heads * size, -1)
    taps = layer.conv.view(3, heads * size, 4)

    def mixed(w, tap):
        past = F.pad(x @ w.T, (0, 0, 3, 0))
        y = sum(tap[:, i] * past[:, i : i + x.shape[1]] for i in range(4))
        return (y * torch.sigmoid(y)).view(*x.shape[:2], heads, size)

    r, k, v = (mixed(w, tap) for w, tap in zip((w_r, w_k, w_v), taps, strict=True))
    r, k = r / r.norm(dim=-1, keepdim=True), k / k.norm(dim=-1, keepdim=True)
    rows = layer.gate_proj.weight.view(-1, heads, x.shape[-1])
    biases = layer.gate_proj.bias.view(-1, heads)
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
    layer, x = make(dynamics, heads=2, width=12), double(2, 21, 12)
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
        assert layer.rule.log_h.exp().tolist() == [1] * HEADS and layer.rule.mu.tolist() == [0] * HEADS


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
    torch.manual_seed(0)
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


@every_member
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


@every_member
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
def test_it_is_built_by_name_and_what_moves_the_memory_knows_no_decay(dynamics):
    turning = int(dynamics in LINEAR)
    layer = build_mixer("hml", WIDTH, dynamics=dynamics, rotation_heads=turning)
    assert isinstance(layer, HML) and layer.dynamics == dynamics
    maps = [f"{name}.weight" for name in ("in_proj", "gate_proj", "out_gate", "out_proj")]
    assert sorted(decaying(layer)) == sorted(["conv", *maps])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dynamics": "verlet"}, "unknown dynamics 'verlet'; known: delta, euler, kick, leapfrog, mlp"),
        ({"num_heads": 5}, "num_heads = 5 does not divide d_model = 16"),
        ({"num_heads": 0}, "num_heads must be at least 1, got 0"),
        ({"head_dim": 0}, "head_dim must be at least 1, got 0"),
        ({"conv_size": 0}, "conv_size must be at least 1, got 0"),
        ({"d_model": 0}, "d_model must be at least 1, got 0"),
        ({"dynamics": "oscillator", "theta": "layer"}, "unknown theta 'layer'; known: few, head, token"),
        ({"rotation_heads": 5}, "rotation_heads must be between 0 and num_heads = 4, got 5"),
        ({"rotation_heads": -1}, "rotation_heads must be at least 0, got -1"),
        (
            {"dynamics": "delta", "rotation_heads": 1, "head_dim": 3},
            "head_dim must be even to hold pairs of value channels, got 3",
        ),
        ({"dynamics": "oscillator", "head_dim": 5}, "head_dim must be even .* got 5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        HML(**{"d_model": WIDTH} | arguments)


def test_a_memory_of_another_member_is_refused():
    layer, x, wanted = make("leapfrog"), double(2, 3, WIDTH), r"\(2, 4, 2, 4, 4\)"
    with pytest.raises(HmlcoreError, match=rf"state.memory must have shape {wanted}, got \(2, 4, 1, 4, 4\)"):
        layer(x, HMLState(*make("delta").init_state(2)))
    with pytest.raises(HmlcoreError, match=rf"must have shape \(2, 4, 1, 4, 4\), got {wanted}"):
        make("oscillator")(x, make("quad").init_state(2))
