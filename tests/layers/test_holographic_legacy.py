"""The holographic system as described: its equations, positional keys, and what its auxiliary loss rewards."""

import pytest
import torch
from mixer_cases import WIDTH, make, normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HolographicLegacy, recording
from hmlcore.layers.holographic.legacy import EPSILON, positional_signs


def layer_of(**arguments):
    torch.manual_seed(0)
    return HolographicLegacy(WIDTH, **{"dim": 24, "slots": 3} | arguments).double()


def test_a_token_is_the_source_s_equations():
    layer, x = layer_of(rate=0.1), normal(1, 5, WIDTH, dtype=torch.float64)
    memory, keys = torch.zeros(3, 24, dtype=torch.float64), positional_signs(torch.arange(5), 24, 0)
    with torch.no_grad():
        found, _ = layer(x)
        for t in range(5):
            q, v = layer.q_proj(x[0, t]), layer.v_proj(x[0, t])
            hidden = layer.unbind_in(q)
            u = layer.unbind_out(hidden * hidden.sigmoid())
            r = memory * u / u.norm()
            c = (r @ layer.choice).softmax(-1) @ r
            torch.testing.assert_close(found[0, t], layer.out_proj(torch.cat((q, c))))
            hidden = layer.gate_in(torch.cat((q, v, memory.square().mean(-1).add(1e-12).sqrt())))
            g = layer.gate_out(hidden * hidden.sigmoid()).sigmoid()[:, None]
            mixed = (1 - g) * 0.9 * memory + g * v * keys[t]
            memory = mixed / mixed.square().mean(-1, keepdim=True).add(EPSILON).sqrt()


def test_positional_keys_are_signs_of_the_number_alone():
    keys = positional_signs(torch.arange(4000), 50, 0)
    assert set(keys.unique().tolist()) == {-1.0, 1.0} and abs(keys.mean()) < 0.01
    assert torch.equal(keys[17:20], positional_signs(torch.tensor([17.0, 18.0, 19.0]), 50, 0))
    agreement = (keys[:500] @ keys[:500].T / 50).fill_diagonal_(0)
    assert abs(agreement.square().mean() * 50 - 1) < 0.05  # 1/D, as of independent signs
    assert not torch.equal(keys, positional_signs(torch.arange(4000), 50, 1))
    assert HolographicLegacy(WIDTH).dim == 8 * WIDTH


def test_every_slot_is_as_long_as_any_other_whatever_it_holds():
    """What was called full utilisation: all lengths are √D, one slot written or all."""
    layer = layer_of()
    with torch.no_grad():
        layer.gate_out.bias.copy_(torch.tensor([5.0, -5, -8]))
        with recording(layer) as traces:
            layer(normal(2, 40, WIDTH, dtype=torch.float64))
    norms = traces[""]["norm"][:, 20:]
    assert (norms / 24**0.5 > 0.6).all() and (norms / 24**0.5 < 1).all()
    share = layer.gate_out.bias.sigmoid()
    assert share[0] > 2000 * share[2]  # of every token


def test_keys_that_are_redrawn_make_two_calls_unlike():
    layer, x = layer_of(keys="redrawn"), normal(1, 8, WIDTH, dtype=torch.float64)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    assert torch.equal(layer_of()(x)[0], layer_of()(x)[0])


def test_lag_0_rewards_overwriting():
    """With values of unit size a gate of 1 has no loss at lag 0, and nothing of ten tokens before."""
    losses = {}
    for lag in (0, 10):
        for bias in (-1.0, 30.0):
            layer = layer_of(lag=lag, slots=1)
            with torch.no_grad():
                layer.gate_out.weight.zero_()
                layer.gate_out.bias.fill_(bias)
            with recording(layer, differentiable=True) as traces:
                layer(normal(2, 60, WIDTH, dtype=torch.float64))
            record = traces[""].records[-1]
            rms = record["value"].square().mean(-1, keepdim=True).sqrt()
            record["value"] = record["value"] / rms
            losses[lag, bias] = layer.auxiliary(traces[""], torch.Generator().manual_seed(0)).item()
    assert losses[0, 30.0] < 0.05 < 0.1 < losses[0, -1.0]
    assert losses[10, 30.0] > 1.5  # of an unrelated vector of unit size it is 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slots": 0}, "slots must be at least 1, got 0"),
        ({"keys": "content"}, "unknown keys 'content'; known: position, redrawn"),
        ({"rate": 1}, r"rate must be a decay within \[0, 1\) a token, got 1"),
        ({"lag": -2}, "lag must be at least 0, got -2"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(HmlcoreError, match=message):
        HolographicLegacy(WIDTH, **arguments)


def test_a_state_of_the_other_layer_is_refused():
    with pytest.raises(HmlcoreError, match=r"memory must have shape \(1, 3, 24\), got \(1, 8, 24\)"):
        layer_of()(normal(1, 2, WIDTH, dtype=torch.float64), make("holographic_legacy").init_state(1))
