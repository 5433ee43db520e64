"""The phase portraits of HML's family: equal keys, gates as asked for, orbits of what was written."""

import math

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.physics import orbit, set_gates
from hmlcore.layers import HML, recording
from hmlcore.layers.hml import FAMILY

PERIOD = 4
CYCLE = torch.randn(PERIOD, 12, generator=torch.Generator().manual_seed(1))
each = pytest.mark.parametrize("dynamics", FAMILY)


def make(dynamics, *, theta=0.4, gamma=0.8, beta=0.2, heads=1):
    torch.manual_seed(0)
    layer = HML(12, heads, 6, dynamics, **({"theta": "head"} if dynamics == "oscillator" else {}))
    return set_gates(layer, beta=beta, gamma=gamma, theta=theta)


def traced(layer, x):
    with recording(layer) as traces:
        layer(x[None])
    return traces[""]


@each
def test_every_dynamics_is_driven_by_the_same_keys_and_values(dynamics):
    x = CYCLE.repeat(3, 1)
    mine, first = traced(make(dynamics), x), traced(make("leapfrog"), x)
    for name in ("key", "value"):
        assert torch.equal(mine[name], first[name])
        # From the second period on they recur.
        torch.testing.assert_close(mine[name][:, PERIOD : 2 * PERIOD], mine[name][:, 2 * PERIOD :])


@each
def test_an_orbit_is_what_the_key_recalls_along_its_value(dynamics):
    x = CYCLE.repeat(6, 1)
    layer = make(dynamics)
    rows, trace = orbit(layer, x, PERIOD), traced(layer, x)
    assert [row["t"] for row in rows] == list(range(len(x)))
    k, v = trace["key"][0, PERIOD, 0], trace["value"][0, PERIOD, 0]
    for t in (0, PERIOD, len(x) - 1):
        state = trace["state"][0, t, 0]
        q, second = state[0].T @ k, rows[t]["second"]
        if layer.rule.pairs:
            recalled, stored = (torch.view_as_complex(y.view(-1, 2).contiguous()) for y in (q, v))
            z = complex((recalled * stored.conj()).sum())
            wanted = z.real, z.imag
            assert second == "imaginary part"
        elif len(state) == 2:
            wanted = float(q @ v), float(state[1].T @ k @ v)
            assert second == "momentum"
        else:
            # Before the first token the memory is empty.
            before = float(trace["state"][0, t - 1, 0, 0].T @ k @ v) if t else 0.0
            wanted = float(q @ v), float(q @ v) - before
            assert second == "change"
        size = float(v @ v)
        found = rows[t]["q"] * size, rows[t]["p"] * size
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6), t
        for name in ("kinetic", "potential"):
            there = name in trace.records[0]
            assert rows[t][name] == (pytest.approx(float(trace[name][0, t, 0])) if there else 0.0)


@pytest.mark.parametrize("dynamics", ["leapfrog", "euler", "delta", "oscillator"])
def test_a_matrix_memory_comes_to_rest_at_its_association(dynamics):
    """Of two: four in six directions overlap so much that it takes thousands of tokens."""
    last = orbit(make(dynamics), CYCLE[:2].repeat(200, 1), 4)[-2]
    assert abs(last["q"] - 1) < 0.05 and abs(last["p"]) < 0.05


@each
def test_gates_are_those_asked_for(dynamics):
    trace = traced(make(dynamics), CYCLE)
    wanted = {"beta": 0.2}
    if "gamma" in FAMILY[dynamics].gates:
        wanted |= {"gamma": 0.8, "alpha": 1.0}
    else:
        wanted |= {"alpha": math.sqrt(0.8) if FAMILY[dynamics].rows == 2 else 1.0}
    if dynamics == "oscillator":
        wanted |= {"theta": 0.4}
    for name, value in wanted.items():
        torch.testing.assert_close(trace[name], torch.full_like(trace[name], value), rtol=1e-5, atol=1e-6)


def test_bad_arguments_are_refused():
    with pytest.raises(HmlcoreError, match="an orbit is of one head, the layer has num_heads = 2"):
        orbit(make("delta", heads=2), CYCLE, 0)
    with pytest.raises(HmlcoreError, match="token must be between 0 and 3, got 4"):
        orbit(make("delta"), CYCLE, 4)
    for name, value in (("beta", 0.0), ("gamma", 1.0)):
        with pytest.raises(HmlcoreError, match=f"{name} must be between 0 and 1, both excluded, got {value}"):
            make("delta", **{name: value})
