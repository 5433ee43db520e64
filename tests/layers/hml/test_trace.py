"""What an HML layer records of a sequence: what happened, at rest, from call to call."""

import math

import pytest
import torch
from hml_cases import HEADS, LINEAR, SIZE, WIDTH, double, make

from hmlcore.layers import Attention, recording
from hmlcore.ops.hamiltonian import naive_hamiltonian
from hmlcore.ops.turns import rotate


@pytest.mark.parametrize("dynamics", ["leapfrog", "euler", "delta"])
def test_the_trace_is_what_happened(dynamics):
    layer, x = make(dynamics, heads=2, width=12), double(2, 15, 12)
    start = layer(double(2, 4, 12, seed=7))[1]
    with recording(layer) as traces:
        _, end = layer(x, start)
    trace = traces[""]
    k, v, path = trace["key"], trace["value"], trace["state"]
    assert path.shape == (2, 15, 2, layer.rows, 6, 6)
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


@pytest.mark.parametrize("dynamics", LINEAR)
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


def test_a_trace_goes_on_from_call_to_call():
    layer, x = make("leapfrog"), double(1, 10, WIDTH)
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
    layer = make("leapfrog")
    with pytest.raises(RuntimeError), recording(layer):
        raise RuntimeError
    assert layer.trace is None
