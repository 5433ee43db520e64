"""Gated DeltaNet: transformers' layer with copied weights, HML's over-damped case, its gates."""

import inspect

import pytest
import torch
from mixer_cases import normal
from transformers.models.qwen3_next import configuration_qwen3_next as configuration
from transformers.models.qwen3_next import modeling_qwen3_next as qwen

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML
from hmlcore.layers.gated_deltanet import GATE_INITS, GatedDeltaNet
from hmlcore.ops.delta_rule import naive_delta_rule

WIDTH, HEADS, N = 12, 2, 6


def make(**arguments):
    torch.manual_seed(3)
    layer = GatedDeltaNet(WIDTH, HEADS, N, **arguments)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return layer


@pytest.fixture
def transformers_layer(monkeypatch):
    """Their module, run by torch whatever kernels are installed."""
    for name in ("torch_chunk_gated_delta_rule", "causal_conv1d_fn"):
        monkeypatch.setattr(qwen, name, inspect.unwrap(getattr(qwen, name)))
    config = configuration.Qwen3NextConfig(
        hidden_size=WIDTH, num_hidden_layers=1, layer_types=["linear_attention"], hidden_act="silu",
        linear_num_key_heads=HEADS, linear_num_value_heads=HEADS, linear_key_head_dim=N,
        linear_value_head_dim=2 * N, linear_conv_kernel_dim=4,
        rms_norm_eps=1e-5 / N,  # their o carries the 1/√N that ours leaves to the norm
    )  # fmt: skip
    return qwen.Qwen3NextGatedDeltaNet(config, 0)


def copies(ours, theirs):
    """Pairs of tensors that must be equal, by name: their maps are laid out head by head."""

    def heads(w, *sizes):
        return torch.cat([part.flatten(0, 1) for part in w.unflatten(0, (HEADS, -1)).split(sizes, 1)])

    qkvz = lambda t: heads(t.in_proj_qkvz.weight, N, N, 2 * N, 2 * N)  # noqa: E731
    keys = 2 * HEADS * N + 2 * HEADS * N
    b, a = theirs.in_proj_ba.weight.view(HEADS, 2, WIDTH).unbind(1)
    alpha, beta = ours.gate_proj.weight.view(2, HEADS, WIDTH)
    return {
        "in_proj": (ours.in_proj.weight, qkvz(theirs)[:keys]),
        "out_gate": (ours.out_gate.weight, qkvz(theirs)[keys:]),
        "conv": (ours.conv, theirs.conv1d.weight.squeeze(1)),
        "w_alpha": (alpha, a),
        "w_beta": (beta, b),
        "b_alpha": (ours.gate_biases()[0], theirs.dt_bias),
        "log_a": (ours.log_a, theirs.A_log),
        "norm": (ours.norm.weight, theirs.norm.weight),
        "out_proj": (ours.out_proj.weight, theirs.out_proj.weight),
    }


def test_the_layer_is_transformers(transformers_layer):
    theirs, ours = transformers_layer, GatedDeltaNet(WIDTH, HEADS, N)
    torch.manual_seed(5)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.randn_like(p) * (0.6 if p.ndim > 1 else 0.3))
        for mine, wanted in copies(ours, theirs).values():
            mine.copy_(wanted)
        ours.gate_biases()[1].zero_()  # theirs has no bias at β
    x = normal(2, 70, WIDTH)
    wanted, found = theirs(x), ours(x)[0]
    assert wanted.abs().mean() > 0.05
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-5)

    weight = normal(*wanted.shape, seed=6)
    for layer, y in ((theirs, wanted), (ours, found)):
        for p, g in zip(
            layer.parameters(), torch.autograd.grad((y * weight).sum(), list(layer.parameters())), strict=True
        ):
            p.data = g  # so that gradients are compared by the very map that copied the weights
    for name, (mine, want) in copies(ours, theirs).items():
        assert (mine - want).norm() < 1e-4 * want.norm(), name


def test_with_square_states_it_is_hml_over_damped():
    hml = HML(WIDTH, HEADS, N, dynamics="delta").double()
    torch.manual_seed(4)
    with torch.no_grad():
        for p in hml.parameters():
            p.add_(0.3 * torch.randn_like(p))
    ours = GatedDeltaNet(WIDTH, HEADS, N, expand_v=1).double()
    weights = dict(hml.state_dict())
    for name in ("gate_proj.weight", "gate_proj.bias"):
        beta, alpha = weights[name].chunk(2)
        weights[name] = torch.cat((alpha, beta))
    weights["log_a"] = weights["log_a"] + torch.tensor(0.05, dtype=torch.float64).log()
    ours.load_state_dict(weights)
    x = normal(2, 40, WIDTH, dtype=torch.float64)
    (y, state), (wanted, memory) = ours(x), hml(x)
    torch.testing.assert_close(y, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state.memory, memory.memory.squeeze(2), rtol=1e-10, atol=1e-12)


def test_the_default_keeps_the_floats_of_hml():
    ours, hml = GatedDeltaNet(32, 4), HML(32, 4, dynamics="leapfrog")
    assert ours.init_state(1).memory.numel() == hml.init_state(1).memory.numel() == 2 * 4 * 8 * 8


def test_a_slow_start_is_that_of_hml():
    """Where the input says nothing: β = σ(−2) = .1192, α = exp(−.05·softplus(−4)) = .99909."""
    layer = GatedDeltaNet(WIDTH, HEADS, gate_init="slow")
    log_alpha, beta = layer.gates(torch.zeros(1, 1, WIDTH))
    torch.testing.assert_close(log_alpha.exp(), torch.full((1, 1, HEADS), 0.999093), rtol=1e-5, atol=0)
    torch.testing.assert_close(beta, torch.full((1, 1, HEADS), 0.119203), rtol=1e-5, atol=0)


@torch.no_grad()
def test_a_paper_start_is_that_of_mamba2():
    """β = 1/2; A up to 16; time steps log-uniform in [.001, .1]."""
    torch.manual_seed(0)
    layer = GatedDeltaNet(512, 512, 1, gate_init="paper")
    log_alpha, beta = layer.gates(torch.zeros(1, 1, 512))
    a, steps = layer.log_a.exp(), torch.nn.functional.softplus(layer.gate_biases()[0])
    assert (beta == 0.5).all() and a.min() >= 0.01 and a.max() <= 16 and 7 < a.mean() < 9
    assert 0.001 <= steps.min() < 0.0011 and 0.09 < steps.max() <= 0.1001
    assert float(steps.log().mean()) == pytest.approx(-4.605, abs=0.2)  # log .01
    torch.testing.assert_close(log_alpha[0, 0], -a * steps)


@pytest.mark.parametrize("gate_init", GATE_INITS)
def test_gates_keep_their_precision_in_narrow_arithmetic(gate_init):
    layer, x = make(gate_init=gate_init), normal(1, 5, WIDTH)
    exact = layer.gates(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer.gates(x)
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == torch.float32 and torch.equal(a, b)


def test_the_recurrence_gets_unit_keys_and_queries():
    layer, x = make().double(), normal(2, 9, WIDTH, dtype=torch.float64)
    q, k, v, _ = layer._project(x, layer.init_state(2, dtype=torch.float64).conv)
    for y in (q, k):
        torch.testing.assert_close(y.norm(dim=-1), torch.ones(2, 9, HEADS).double())
    o, state = naive_delta_rule(q, k, v, *layer.gates(x), output_final_state=True)
    torch.testing.assert_close(layer(x)[1].memory, state, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(layer(x)[0], layer._read_out(o, v, x), rtol=1e-10, atol=1e-12)


def test_an_unknown_start_is_refused():
    with pytest.raises(HmlcoreError, match="unknown gate_init 'fast'; known: paper, slow"):
        GatedDeltaNet(WIDTH, HEADS, gate_init="fast")


@pytest.mark.parametrize("corrections", [1, 2])
def test_negative_eigenvalues_double_every_beta_and_nothing_else(corrections):
    one, two = (make(negative_eigenvalues=given, corrections=corrections) for given in (False, True))
    x = normal(2, 9, WIDTH)
    for a, b, times in zip(one.gates(x), two.gates(x), (1, 2), strict=True):
        torch.testing.assert_close(b, times * a, rtol=0, atol=0)


def test_a_beta_of_two_turns_what_lies_along_the_key_about():
    """The sign that parity is kept in: with nothing to write, S ← (I − 2kkᵀ)S, and again S."""
    layer = make(negative_eigenvalues=True, gate_init="slow")
    with torch.no_grad():
        layer.conv[-HEADS * layer.value_dim :] = 0  # v
        layer.log_a.fill_(-40)
        layer.gate_biases()[1].fill_(40)
        layer.gate_proj.weight.zero_()
    x = normal(1, WIDTH)
    layer.conv.data[:, :-1] = 0  # the key is the token's alone
    state = layer.init_state(1)
    memory = normal(*state.memory.shape, seed=4)
    once = layer.step(x, state._replace(memory=memory))[1]
    twice = layer.step(x, once)[1]
    assert not torch.allclose(once.memory, memory)
    torch.testing.assert_close(twice.memory, memory, rtol=0, atol=1e-5)
    moved = once.memory - memory
    assert torch.linalg.matrix_rank(moved[0, 0], tol=1e-4) == 1
