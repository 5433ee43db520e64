"""What the Hamiltonian op refuses: gates outside their range, and steps that are not stable where asked."""

import math

import pytest
import torch
import torch.nn.functional as F

from hmlcore.errors import HmlcoreError
from hmlcore.ops.hamiltonian import chunk_hamiltonian, delta, leapfrog, naive_hamiltonian
from hmlcore.ops.hamiltonian.check import check_stability


def inputs():
    g = torch.Generator().manual_seed(1)
    k, v = (torch.randn(1, 3, 1, size, generator=g, dtype=torch.float64) for size in (4, 2))
    return F.normalize(k, dim=-1), v


def direct(name=None, value=None, *, gamma=0.5, beta=0.5, h=1.0):
    """Coefficients for the op, one entry of one of them replaced."""
    gate = torch.zeros(1, 3, 1, dtype=torch.float64)
    x = leapfrog(gate - 0.1, gate + math.log(gamma), gate + beta, gate + h, gate)
    if name is not None:
        changed = getattr(x, name).clone()
        changed[0, 1, 0] = value
        x = x._replace(**{name: changed})
    return x


@pytest.mark.parametrize("form", [naive_hamiltonian, chunk_hamiltonian])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("log_alpha", 0.2, r"log_alpha must be at most 0 \(alpha in \[0, 1\]\), got 0\.2"),
        ("log_gamma", 0.5, r"log_gamma must be at most 0, or -log_alpha .* got 0\.5 where log_alpha is -0\.1"),
        ("log_gamma", math.nan, "log_gamma must be at most 0, .* got nan"),
        ("drift", math.inf, r"coefficients\.drift must be finite, got inf"),
        ("e", math.nan, r"coefficients\.e must be finite, got nan"),
    ],
)
def test_gates_passed_to_the_op_are_refused_outside_their_range(form, name, value, message, monkeypatch):
    k, v = inputs()
    if not math.isfinite(value):  # refused where asked only
        form(k, k, v, direct(name, value))
        monkeypatch.setenv("HMLCORE_CHECK_GATES", "1")
    with pytest.raises(HmlcoreError, match=message):
        form(k, k, v, direct(name, value))
    form(k, k, v, direct())
    form(k, k, v, direct("log_gamma", -math.inf))  # the over-damped limit is no mistake
    form(k, k, v, direct("log_gamma", 0.05))  # nor a momentum gate μ = αγ of its own


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_steps_beyond_the_bound_of_stability_are_refused_where_asked(gamma, monkeypatch):
    bound = 2 * (1 + gamma)
    check_stability(direct(gamma=gamma, beta=0.999 * bound))
    check_stability(direct(gamma=gamma, beta=0.999 * bound / 4, h=2.0))
    check_stability(delta(torch.zeros(1, 1, 1), torch.full((1, 1, 1), 5.0)))  # has no such bound
    wild = direct(gamma=gamma, beta=1.001 * bound / 4, h=2.0)
    message = rf"beta times h squared must be below 2\(1 \+ gamma\) = {bound:g}, got"
    with pytest.raises(HmlcoreError, match=message):
        check_stability(wild)
    k, v = inputs()
    naive_hamiltonian(k, k, v, wild)
    monkeypatch.setenv("HMLCORE_CHECK_GATES", "1")
    with pytest.raises(HmlcoreError, match=message):
        naive_hamiltonian(k, k, v, wild)
