"""Several corrections a token: a loop says what they are, one that is shut is none, and what they cost."""

import pytest
import torch
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import build_mixer, recording
from hmlcore.layers.hml import FAMILY
from hmlcore.ops.turns import rotate

WIDTH, HEADS, N = 12, 2, 4
LAYERS = {
    "delta": ("hml", {"dynamics": "delta"}),
    "oscillator": ("hml", {"dynamics": "oscillator", "theta": "token"}),
    "few": ("hml", {"dynamics": "oscillator", "rotation_heads": 1}),
    "damped": ("hml", {"dynamics": "oscillator", "theta": "head", "damping": 0.9}),
    "gated_deltanet": ("gated_deltanet", {"expand_v": 1.5, "skip": True}),
}
each_layer = pytest.mark.parametrize("case", LAYERS)


def make(case, count, dtype=torch.float64, **given):
    name, arguments = LAYERS[case]
    torch.manual_seed(3)
    layer = build_mixer(name, WIDTH, num_heads=HEADS, head_dim=N, corrections=count, **arguments, **given)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return layer.to(dtype)


def double(*shape, seed=1):
    return normal(*shape, seed=seed, dtype=torch.float64)


def loop_of_gated_deltanet(layer, x):
    """S ← αS;  S ← S − β_i k_i(k_iᵀS − v_iᵀ);  o = Sᵀq, written from the layer's weights."""
    count, (batch, length) = layer.corrections, x.shape[:2]
    q, k, v, _ = layer._project(x, layer.init_state(batch, dtype=x.dtype).conv)
    raw = layer.gate_proj(x).unflatten(-1, (1 + count, HEADS))
    alpha = (-layer.log_a.exp() * torch.nn.functional.softplus(raw[:, :, 0])).exp()
    s, o = x.new_zeros(batch, HEADS, N, layer.value_dim), []
    for t in range(length):
        s = alpha[:, t, :, None, None] * s
        for i in range(count):
            heads = slice(i * HEADS, (i + 1) * HEADS)
            k_i, v_i, beta = k[:, t, heads], v[:, t, heads], raw[:, t, 1 + i].sigmoid()
            z = (k_i[..., None] * s).sum(-2) - v_i
            s = s - beta[..., None, None] * k_i[..., None] * z[..., None, :]
        o.append((q[:, t, :, :, None] * s).sum(-2))
    return layer._read_out(torch.stack(o, 1), v, x), s


def loop_of_hml(layer, x):
    """The same with 1 − ρe^{iθ} for β, and value pairs of rotating heads turned by φ before each token."""
    count, (batch, length) = layer.corrections, x.shape[:2]
    mixed = torch.nn.functional.silu(layer_conv(layer, x))
    r, *pairs = mixed.unflatten(-1, (1 + 2 * count, HEADS, N)).unbind(2)
    unit = torch.nn.functional.normalize
    r, keys, values = unit(r, dim=-1), [unit(k, dim=-1) for k in pairs[:count]], pairs[count:]
    raw = layer.gate_proj(x).unflatten(-1, (1 + count, HEADS)).unbind(2)
    betas = [raw[0], *raw[2:]]  # α is the second, as with one correction
    alpha = (-0.05 * layer.log_a.exp() * torch.nn.functional.softplus(raw[1])).exp()
    theta = torch.zeros_like(alpha)
    if getattr(layer.rule, "damping", None):
        alpha = torch.ones_like(alpha)
    if layer.dynamics == "oscillator":
        own = layer.rule.theta
        own = own if own.ndim == 1 else torch.pi * torch.tanh(0.1 * x @ own.T)
        theta = torch.cat((theta[..., : layer.rule.still], own.expand(batch, length, -1)), -1)
    turn = torch.zeros_like(alpha)
    if layer.turning:
        alpha[..., -layer.turning :] = 1
        turn[..., -layer.turning :] = 0.1 * (x @ layer.rotation.weight.T + layer.rotation.bias)
    s, o = x.new_zeros(batch, HEADS, N, N), []
    for t in range(length):
        s = alpha[:, t, :, None, None] * rotate(s, turn[:, t, :, None])
        for k, v, raw_beta in zip(keys, values, betas, strict=True):
            rho = raw_beta[:, t].sigmoid().neg() + 1
            if getattr(layer.rule, "damping", None):
                rho = torch.full_like(rho, layer.rule.damping)
            z = (k[:, t, :, :, None] * s).sum(-2) - v[:, t]
            moved = z - rho[..., None] * rotate(z, theta[:, t] / (2 * torch.pi))
            s = s - k[:, t, :, :, None] * moved[..., None, :]
        o.append((r[:, t, :, :, None] * s).sum(-2))
    return layer._read_out(torch.stack(o, 1), values[-1], x, None), s


def layer_conv(layer, x):
    mixed, taps = layer.in_proj(x), layer.conv.shape[1]
    window = torch.nn.functional.pad(mixed, (0, 0, taps - 1, 0))
    return sum(layer.conv[:, i] * window[:, i : i + x.shape[1]] for i in range(taps))


@each_layer
@pytest.mark.parametrize("count", [1, 2, 3])
def test_they_are_a_loop_over_associations(case, count):
    layer, x = make(case, count), double(2, 19, WIDTH)
    found, state = layer(x)
    wanted, s = (loop_of_gated_deltanet if case == "gated_deltanet" else loop_of_hml)(layer, x)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
    if case != "few":  # whose memory is in the frame that turns along
        torch.testing.assert_close(state.memory.view_as(s), s, rtol=1e-9, atol=1e-11)


def select(layer, one, count):
    """The weights of `layer` with `count` corrections that its last correction has, for the layer `one`."""
    weights, inner = dict(layer.state_dict()), HEADS * N
    value = weights["out_gate.weight"].shape[0]
    edges = [inner] + [inner] * count + [value] * count
    for name in ("in_proj.weight", "conv"):
        parts = weights[name].split(edges)
        weights[name] = torch.cat((parts[0], parts[count], parts[-1]))
    order = [0, count] if type(one).__name__ == "GatedDeltaNet" else [count, 1]
    for name in ("gate_proj.weight", "gate_proj.bias"):
        weights[name] = torch.cat([weights[name].split(HEADS)[i] for i in order])
    one.load_state_dict(weights)
    return one


@pytest.mark.parametrize("case", ["delta", "gated_deltanet"])  # without friction an oscillator still turns
def test_a_correction_that_is_shut_is_none(case):
    layer, x = make(case, 3), double(2, 19, WIDTH)
    with torch.no_grad():
        for name, p in layer.gate_proj.named_parameters():
            parts = p.split(HEADS)
            first = parts[1:3] if case == "gated_deltanet" else (parts[0], parts[2])
            for part in first:
                part.fill_(0 if name == "weight" else -torch.inf)
    one = select(layer, make(case, 1), 3)
    torch.testing.assert_close(layer(x)[0], one(x)[0], rtol=1e-10, atol=1e-12)
    assert (make(case, 3)(x)[0] - one(x)[0]).norm() > 0.01 * one(x)[0].norm()


@each_layer
def test_gradients_are_derivatives(case):
    layer, x = make(case, 2), double(1, 3, WIDTH).requires_grad_()
    names, leaves = zip(*layer.named_parameters(), strict=True)

    def call(x, *leaves):
        y, state = torch.func.functional_call(layer, dict(zip(names, leaves, strict=True)), (x,))
        return y, state.memory

    assert torch.autograd.gradcheck(call, (x, *leaves), atol=1e-6, fast_mode=True)


@each_layer
def test_their_memory_is_as_large_and_their_window_and_weights_are_counted(case):
    one, three = make(case, 1), make(case, 3)
    assert one.init_state(1).memory.shape == three.init_state(1).memory.shape
    value = one.out_gate.weight.shape[0]
    channels = 2 * (HEADS * N + value)  # of two more keys and values
    assert three.state_size(9) - one.state_size(9) == (one.conv.shape[1] - 1) * channels
    count = [sum(p.numel() for p in layer.parameters()) for layer in (one, three)]
    assert count[1] - count[0] == channels * (WIDTH + one.conv.shape[1]) + 2 * HEADS * (WIDTH + 1)
    weights = channels * (WIDTH + one.conv.shape[1]) + 2 * HEADS * WIDTH
    work = three.flops_per_token(9) - one.flops_per_token(9)
    assert work == 2 * (weights + 4 * one.init_state(1).memory.numel())


def test_every_correction_begins_as_a_slow_writer():
    layers = [build_mixer("hml", WIDTH, dynamics="delta", num_heads=2, corrections=3)]
    layers.append(build_mixer("gated_deltanet", WIDTH, num_heads=2, corrections=3, gate_init="slow"))
    gates = [layers[0].coefficients(torch.zeros(1, 2, WIDTH))[1]]
    log_alpha, beta = layers[1].gates(torch.zeros(1, 2, WIDTH))
    gates.append({"alpha": log_alpha.exp(), "beta": beta})
    for gate in gates:
        torch.testing.assert_close(gate["beta"], torch.full((1, 6, 2), 0.119203), rtol=1e-5, atol=0)
        kept = torch.tensor([0.999093, 1, 1] * 2)[None, :, None].expand(1, 6, 2)
        torch.testing.assert_close(gate["alpha"], kept, rtol=1e-5, atol=0)


@pytest.mark.parametrize("bounds", [None, [0, 4, 15]])
@pytest.mark.parametrize("case", ["delta", "few"])
def test_a_trace_has_each_correction_and_each_token(case, bounds):
    layer, x = make(case, 3), double(1, 15, WIDTH)
    with recording(layer) as traces:
        _, end = layer(x, cu_seqlens=bounds)
    trace = traces[""]
    assert trace["key"].shape == trace["value"].shape == trace["error"].shape == (1, 15, 3, HEADS, N)
    assert trace["beta"].shape == trace["potential"].shape == (1, 15, 3, HEADS)
    assert trace["alpha"].shape == (1, 15, HEADS) and trace["read"].shape == (1, 15, HEADS, N)
    last = trace["state"][:, -1]
    if case == "few":
        assert trace["theta"].shape == (1, 15, HEADS) and trace["phase"].shape == (1, 15, 1)
        torch.testing.assert_close(trace["phase"][0, -1], 2 * torch.pi * end.phase[-1])
        turned = rotate(end.memory[-1:, 1:], end.phase[-1:, :, None, None])
        torch.testing.assert_close(last[:, 1:], turned, rtol=1e-9, atol=1e-11)
    else:
        torch.testing.assert_close(last, end.memory[-1:], rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(trace["alpha"], layer.coefficients(x)[1]["alpha"][:, ::3])
        # The last correction of a token left its key with a miss of (1 − β) of the error.
        miss = torch.einsum("bthn,bthnd->bthd", trace["key"][:, :, -1], trace["state"][:, :, :, 0])
        miss, beta = miss - trace["value"][:, :, -1], trace["beta"][:, :, -1, :, None]
        torch.testing.assert_close(miss, (1 - beta) * trace["error"][:, :, -1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dynamics", [name for name, kind in FAMILY.items() if not kind.corrects])
def test_dynamics_that_are_no_correction_are_refused(dynamics):
    with pytest.raises(HmlcoreError, match=f"corrections must be 1 with dynamics='{dynamics}'.* got 2"):
        build_mixer("hml", WIDTH, dynamics=dynamics, corrections=2)
    assert build_mixer("hml", WIDTH, dynamics=dynamics, corrections=1).corrections == 1


@pytest.mark.parametrize("mixer", ["hml", "gated_deltanet"])
def test_a_token_makes_one_at_least(mixer):
    with pytest.raises(HmlcoreError, match="corrections must be at least 1, got 0"):
        build_mixer(mixer, WIDTH, num_heads=2, corrections=0)
