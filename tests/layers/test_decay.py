"""Decays of key channels: the layer's equations, where it starts, what it costs, and where it is refused."""

import pytest
import torch
import torch.nn.functional as F
from mixer_cases import WIDTH, normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML, build_mixer, recording
from hmlcore.layers.hml import FAMILY
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.ops.oscillator import naive_oscillator
from hmlcore.training.optim import hidden_matrices

HEADS, N = 4, 4
LAYERS = {
    "delta": ("hml", {"dynamics": "delta"}),
    "oscillator": ("hml", {"dynamics": "oscillator", "theta": "token"}),
    "oscillator, few": ("hml", {"dynamics": "oscillator"}),
    "gated_deltanet": ("gated_deltanet", {"gate_init": "slow"}),
}
each_layer = pytest.mark.parametrize("kind", LAYERS)


def make(kind, stir=0.3, decay="channel", **arguments):
    name, given = LAYERS[kind]
    torch.manual_seed(3)
    layer = build_mixer(name, WIDTH, **given, decay=decay, **arguments).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(stir * torch.randn_like(p))
        layer.log_a.add_(3)  # decays that are seen within tens of tokens
    return layer


def double(*shape, seed=1):
    return normal(*shape, seed=seed, dtype=torch.float64)


def log_alpha(layer, x):
    """−A softplus(w·x + (W_↑ W_↓ x)_n + b_n), with w the head's own."""
    hml = isinstance(layer, HML)
    rows = layer.gate_proj.weight.view(-1, HEADS, WIDTH)[1 if hml else 0]
    shared = x @ rows.T + layer.gate_proj.bias.view(-1, HEADS)[1 if hml else 0]
    own = (x @ layer.decay.down.T @ layer.decay.up.T + layer.decay.bias).unflatten(-1, (HEADS, N))
    return -(0.05 if hml else 1) * layer.log_a.exp()[:, None] * F.softplus(shared[..., None] + own)


@each_layer
def test_the_layer_is_its_equations(kind):
    """The law of the op, given what the layer makes of x and decays by the formula."""
    layer, x = make(kind), double(2, 37, WIDTH)
    r, k, v, _ = layer._project(x, layer.init_state(2, dtype=torch.float64).conv)
    decays = log_alpha(layer, x)
    assert decays.exp().min() < 0.5 and decays.exp().std(-1).median() > 1e-3
    rho = theta = torch.zeros(2, 37, HEADS).double()
    if kind == "gated_deltanet":
        rho = torch.log1p(-layer.gates(x)[1])
    else:
        gates = layer.coefficients(x)[1]
        rho, theta = torch.log1p(-gates["beta"]), gates.get("theta", theta)
    o, s = naive_oscillator(r, k, v, decays, rho, theta, output_final_state=True)
    y, state = layer(x)
    torch.testing.assert_close(state.memory.view_as(s), s, rtol=1e-10, atol=1e-12)
    wanted = layer.out_proj(layer.norm(o).flatten(-2) * F.silu(layer.out_gate(x)))
    torch.testing.assert_close(y, wanted, rtol=1e-10, atol=1e-12)


@each_layer
def test_it_starts_where_decay_by_head_starts(kind):
    """And learns from there: W_↑ and b have gradients at once."""
    layer, head, x = make(kind, 0), make(kind, 0, decay="head"), double(2, 30, WIDTH)
    head.load_state_dict({n: p for n, p in layer.state_dict().items() if not n.startswith("decay.")})
    torch.testing.assert_close(layer(x)[0], head(x)[0], rtol=1e-9, atol=1e-11)
    layer(x)[0].square().sum().backward()
    assert layer.decay.up.grad.abs().min() > 0 and layer.decay.bias.grad.abs().min() > 0
    torch.manual_seed(0)
    net = Backbone(BackboneConfig(7, LAYERS[kind][0], d_model=WIDTH, mixer_args={"decay": "channel"}))
    decay = net.blocks[0].mixer.decay
    assert not decay.up.any() and not decay.bias.any() and decay.down.std() > 0.1
    assert not [name for name in hidden_matrices(net) if "decay" in name]


@each_layer
def test_without_the_option_nothing_is_drawn_or_kept(kind):
    name, given = LAYERS[kind]

    def built(**arguments):
        torch.manual_seed(5)
        return build_mixer(name, WIDTH, **given, **arguments), torch.rand(1)

    (plain, drawn), (head, again), (channel, _) = built(), built(decay="head"), built(decay="channel")
    assert torch.equal(drawn, again) and plain.state_dict().keys() == head.state_dict().keys()
    own = {name: p.numel() for name, p in channel.named_parameters() if name.startswith("decay.")}
    assert channel.state_dict().keys() - plain.state_dict().keys() == own.keys()
    assert sum(own.values()) == (WIDTH + HEADS * N + HEADS) * N
    assert channel.state_size(9) == plain.state_size(9)
    assert channel.flops_per_token(9) - plain.flops_per_token(9) == 2 * (WIDTH + HEADS * N) * N


def test_heads_that_turn_never_forget():
    layer, x = make("delta", rotation_heads=1), double(2, 9, WIDTH)
    alpha = layer.coefficients(x)[1]["alpha"]
    assert alpha.shape == (2, 9, HEADS, N) and (alpha[:, :, -1] == 1).all() and (alpha[:, :, :-1] < 1).all()
    torch.testing.assert_close(alpha[:, :, :-1], log_alpha(layer, x).exp()[:, :, :-1])


@each_layer
def test_gradients_are_derivatives(kind):
    layer = make(kind, num_heads=2, head_dim=2)
    names, leaves = zip(*layer.named_parameters(), strict=True)

    def run(x, memory, *parameters):
        state = layer.init_state(1, dtype=torch.float64)._replace(memory=memory)
        y, end = torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x, state))
        return y, end.memory

    start = layer.init_state(1, dtype=torch.float64).memory
    inputs = [double(1, 5, WIDTH), double(*start.shape, seed=2), *leaves]
    inputs = [p.detach().clone().requires_grad_() for p in inputs]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("kind", ["delta", "oscillator", "oscillator, few"])
def test_a_trace_has_the_error_of_what_is_left(kind):
    layer, x = make(kind), double(2, 9, WIDTH)
    plain, end = layer(x)
    with recording(layer) as traces:
        recorded, _ = layer(x)
    trace = traces[""]
    assert torch.equal(recorded, plain) and trace["alpha"].shape == (2, 9, HEADS, N)
    path = trace["state"][:, :, :, 0]
    torch.testing.assert_close(path[:, -1], end.memory[:, :, 0], rtol=1e-10, atol=1e-12)
    left = trace["alpha"][..., None] * torch.cat((torch.zeros_like(path[:, :1]), path[:, :-1]), 1)
    found = torch.einsum("bthn,bthnd->bthd", trace["key"], left) - trace["value"]
    torch.testing.assert_close(trace["error"], found, rtol=1e-9, atol=1e-11)


def test_decays_keep_their_precision_in_narrow_arithmetic():
    layer, x = make("delta").float(), normal(1, 5, WIDTH)
    exact = layer.coefficients(x)[1]["alpha"]
    with torch.autocast("cpu", torch.bfloat16):
        found = layer.coefficients(x)[1]["alpha"]
    assert found.dtype == torch.float32 and torch.equal(found, exact)


def test_what_is_not_finite_is_refused_where_asked(monkeypatch):
    monkeypatch.setenv("HMLCORE_CHECK_GATES", "1")
    layer = make("delta")
    with torch.no_grad():
        layer.decay.bias[3] = -torch.inf  # which softplus would hide
    with pytest.raises(HmlcoreError, match=r"gate alpha \(of x, .*\) must be finite, got -inf"):
        layer(double(1, 3, WIDTH))


@pytest.mark.parametrize("dynamics", [name for name, kind in FAMILY.items() if kind.rows == 2])
def test_dynamics_of_two_rows_refuse_it(dynamics):
    message = (
        f"decay must be 'head' with dynamics='{dynamics}', which is no correction of one row, got 'channel'"
    )
    with pytest.raises(HmlcoreError, match=message):
        build_mixer("hml", WIDTH, dynamics=dynamics, decay="channel")


def test_where_nothing_decays_and_what_is_unknown_is_refused():
    with pytest.raises(HmlcoreError, match=r"decay must be 'head' with a fixed damping, .* got 'channel'"):
        HML(WIDTH, dynamics="oscillator", damping=0.9, decay="channel")
    for name in ("hml", "gated_deltanet"):
        with pytest.raises(HmlcoreError, match="unknown decay 'row'; known: channel, head"):
            build_mixer(name, WIDTH, decay="row")
