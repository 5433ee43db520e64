"""Hyena: the published filters, the operator as direct convolutions, and the price of decoding."""

import math

import numpy as np
import pytest
import torch
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers.base import decaying
from hmlcore.layers.hyena import Hyena

WIDTH = 6


def make(**arguments):
    torch.manual_seed(2)
    return Hyena(WIDTH, **{"filter_width": 8, "filter_features": 5, "filter_length": 20} | arguments).double()


def published_filters(layer, count):
    """[count, channels] in numpy, from the paper's appendix and its code: features, sines, window."""
    length, bands = layer.filter.length, (layer.filter.features - 1) // 2
    weights, biases = ([p.detach().numpy() for p in ps] for ps in (layer.filter.weights, layer.filter.biases))
    omega = layer.filter.frequency.detach().numpy()
    channels = weights[-1].shape[0]
    h = np.zeros((count, channels))
    for i in range(count):
        t = i / (length - 1)
        waves = [np.exp(-1j * f * 2 * np.pi * i / length) for f in np.linspace(1e-4, bands - 1, bands)]
        z = np.array([t, *(w.real for w in waves), *(w.imag for w in waves)])
        for w, b in zip(weights[:-1], biases, strict=True):
            z = np.sin(omega * (w @ z + b))
        rates = np.abs(np.linspace(np.log(1e-2) / 1.5, np.log(1e-2) / 0.3, channels))
        h[i] = (weights[-1] @ z) * np.exp(-t * rates)
    return h


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("count", [1, 20, 33])
def test_the_filters_are_the_published_ones(order, count):
    layer = make(order=order)
    wanted = published_filters(layer, count)
    np.testing.assert_allclose(layer.filter(count).detach().numpy(), wanted, rtol=1e-11, atol=1e-13)
    by_channel = wanted.reshape(count, WIDTH, order - 1)
    np.testing.assert_allclose(layer.filters(count).detach().numpy(), by_channel.transpose(2, 0, 1), atol=1e-13)


def test_the_window_closes_at_the_published_rates():
    """With a constant network: 1 % after .3 of the length in the last channel, 1.5 in the first."""
    layer = make(filter_length=1001)
    with torch.no_grad():
        for w, b in zip(layer.filter.weights, layer.filter.biases, strict=False):
            w.zero_()
            b.fill_(math.pi / 2 / 10)
        layer.filter.weights[-1].fill_(1 / 8)
    h = layer.filter(1501).detach()
    torch.testing.assert_close(h[0], torch.ones(WIDTH).double())
    assert h[300, -1] == pytest.approx(0.01) and h[1500, 0] == pytest.approx(0.01)
    torch.testing.assert_close(h.log().diff(dim=0), h.log().diff(dim=0)[:1].expand(1500, WIDTH))
    rates = -h.log()[1000]
    torch.testing.assert_close(rates.diff(), rates.diff()[:1].expand(WIDTH - 1))


@pytest.mark.parametrize("order", [2, 3])
def test_the_operator_is_direct_convolutions_of_its_filters(order):
    """O(T²), token by token: v ← h_n * (xⁿ v) + d_n xⁿ v, then x⁰ v."""
    layer, x = make(order=order), normal(2, 27, WIDTH, dtype=torch.float64)
    h = published_filters(layer, 27).reshape(27, WIDTH, order - 1)
    skip = layer.skip.detach().numpy().reshape(WIDTH, order - 1)
    u = (x @ layer.in_proj.weight.T + layer.in_proj.bias).detach().numpy()
    taps, bias = layer.conv.detach().numpy(), layer.conv_bias.detach().numpy()
    mixed = np.zeros_like(u) + bias
    for t in range(27):
        for i in range(min(4, t + 1)):
            mixed[:, t] += taps[:, 3 - i] * u[:, t - i]
    *gates, v = np.split(mixed, order + 1, -1)
    for n, gate in enumerate(gates[:0:-1]):
        v = v * gate
        new = skip[:, n] * v
        for t in range(27):
            for s in range(t + 1):
                new[:, t] += h[t - s, :, n] * v[:, s]
        v = new
    wanted = torch.from_numpy(v * gates[0]) @ layer.out_proj.weight.T + layer.out_proj.bias
    torch.testing.assert_close(layer(x)[0], wanted, rtol=1e-10, atol=1e-11)


def test_published_sizes():
    layer = Hyena(WIDTH)
    assert [tuple(w.shape) for w in layer.filter.weights] == [(64, 5), (64, 64), (64, 64), (WIDTH, 64)]
    assert torch.equal(layer.filter.frequency, torch.full((64,), 10.0))
    assert layer.order == 2 and layer.conv.shape == (3 * WIDTH, 4)


def test_the_filter_network_keeps_its_start_and_is_spared_weight_decay():
    """A model draws its linear maps anew; a sine network starts where its frequency was chosen for."""
    layer = make()
    assert {n for n, m in layer.named_modules() if isinstance(m, torch.nn.Linear)} == {"in_proj", "out_proj"}
    assert decaying(layer) == ["conv", "in_proj.weight", "out_proj.weight"]
    for w in layer.filter.weights:
        assert 0.5 * w.shape[1] ** -0.5 < w.abs().max() <= w.shape[1] ** -0.5


def test_a_filter_is_the_same_however_much_of_it_is_asked_for():
    layer = make()
    with torch.no_grad():
        for count in (3, 1, 40, 7):
            wanted = torch.from_numpy(published_filters(layer, count))
            torch.testing.assert_close(layer.filter(count)[:count], wanted)
        assert torch.equal(layer.filter(7), layer.filter(40))


def decoded(layer, mode=torch.no_grad):
    """Five tokens, by what is kept and by a copy that keeps nothing, with gradients."""
    x = normal(1, 5, WIDTH, dtype=layer.skip.dtype)
    with mode():
        state, outputs = layer.init_state(1), []
        for t in range(5):
            y, state = layer.step(x[:, t], state)
            outputs.append(y)
    return torch.stack(outputs, 1), layer(x)[0].detach()


CHANGES = {
    "add_": lambda p: p.add_(0.1),
    "data.copy_": lambda p: p.data.copy_(p.data + 0.1),
    "data.mul_": lambda p: p.data.mul_(1.1),
    "data.lerp_": lambda p: p.data.lerp_(torch.ones_like(p), 0.5),
    "data": lambda p: setattr(p, "data", p.data + 0.1),
    "numpy": lambda p: np.add(p.detach().numpy(), 0.1, out=p.detach().numpy()),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", ["frequency", "weights.1", "weights.3", "biases.0"])
def test_decoding_follows_the_weights_however_they_change(which, change):
    layer = make()
    before, _ = decoded(layer)
    with torch.no_grad():
        CHANGES[change](layer.filter.get_parameter(which))
    after, wanted = decoded(layer)
    assert (after - before).abs().max() > 1e-5
    torch.testing.assert_close(after, wanted, rtol=1e-10, atol=1e-12)


def test_decoding_follows_loading_dtype_and_calls_with_other_weights():
    layer, other = make(), make(filter_frequency=3.0)
    before, _ = decoded(layer)
    x, state = normal(1, WIDTH, dtype=torch.float64), layer(normal(1, 5, WIDTH, dtype=torch.float64))[1]
    with torch.no_grad():
        wanted = other.step(x, state)[0]
        found = torch.func.functional_call(layer, dict(other.named_parameters()), (x[:, None], state))[0][:, 0]
        torch.testing.assert_close(found, wanted)
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(*decoded(layer))
    torch.testing.assert_close(decoded(layer)[0], decoded(other)[0])
    assert (before - decoded(layer)[0]).abs().max() > 1e-3
    layer.float()
    torch.testing.assert_close(*decoded(layer), rtol=1e-4, atol=1e-5)


def test_several_layers_at_once_are_each_of_them():
    """As ensembles are run: `torch.func.vmap` over stacked weights, decoding and gradients too."""
    layers, x = [make(), make(filter_frequency=3.0)], normal(1, 5, WIDTH, dtype=torch.float64)
    stacked, _ = torch.func.stack_module_state(layers)

    def loss(weights):
        return torch.func.functional_call(layers[0], weights, (x,))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss))(stacked)
    token, state = x[:, :1], layers[0](x)[1]
    with torch.no_grad():
        ys = torch.func.vmap(lambda w: torch.func.functional_call(layers[0], w, (token, state))[0])(stacked)
    for i, layer in enumerate(layers):
        torch.testing.assert_close(ys[i], layer(token, state)[0])
        layer(x)[0].square().sum().backward()
        for name, p in layer.named_parameters():
            torch.testing.assert_close(found[name][i], p.grad)


def test_what_is_kept_serves_all_modes_without_gradients():
    layer = make()
    first, _ = decoded(layer)
    for mode in (torch.inference_mode, torch.no_grad):
        again, wanted = decoded(layer, mode)
        torch.testing.assert_close(again, wanted)
        torch.testing.assert_close(again, first)
    y, _ = layer.step(normal(1, WIDTH, dtype=torch.float64), layer.init_state(1))
    y.sum().backward()
    assert all(p.grad is not None for p in layer.filter.parameters())


def test_decoding_draws_each_filter_value_once(monkeypatch):
    layer, drawn = make(), []
    draw = layer.filter._draw
    monkeypatch.setattr(layer.filter, "_draw", lambda position: drawn.append(len(position)) or draw(position))
    x, state = normal(1, 40, WIDTH, dtype=torch.float64), layer.init_state(1)
    with torch.no_grad():
        for t in range(40):
            _, state = layer.step(x[:, t], state)
    assert sum(drawn) <= 2 * 64


def test_the_state_is_the_history():
    layer = make(order=3)
    _, state = layer(normal(2, 17, WIDTH, dtype=torch.float64))
    assert state.history.shape == (2, 2, 17, WIDTH)
    assert layer.state_size(17) == 2 * 17 * WIDTH + 3 * 4 * WIDTH
    assert layer.flops_per_token(101) - layer.flops_per_token(1) == 2 * 2 * WIDTH * 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 1}, "order must be at least 2, got 1"),
        ({"filter_features": 4}, "filter_features must be odd and at least 3 .*got 4"),
        ({"filter_features": 1}, "filter_features must be odd and at least 3 .*got 1"),
        ({"filter_width": 0}, "filter_width must be at least 1, got 0"),
        ({"filter_length": 1}, "filter_length must be at least 2, got 1"),
        ({"conv_size": 0}, "conv_size must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        make(**arguments)
