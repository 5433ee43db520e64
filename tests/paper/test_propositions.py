"""The propositions of the paper in numbers: each is computed by another way than its proof."""

import math

import numpy as np
import pytest
import torch

from hmlcore.ops.delta_rule import naive_delta_rule
from hmlcore.ops.hamiltonian import leapfrog, naive_hamiltonian, random_inputs
from hmlcore.ops.turns import cumulative_turns


def step(q, p, k, v, beta, h, alpha=1.0, gamma=1.0):
    q, p = alpha * q, alpha * p
    q = q + h / 2 * p
    p = gamma * p - h * beta * np.outer(k, k @ q - v)
    return q + h / 2 * p, p


def token(draw, n=3, d=2):
    k = draw.standard_normal(n)
    return k / np.linalg.norm(k), draw.standard_normal(d)


def test_area_is_scaled_by_forgetting_and_friction_alone():
    draw = np.random.default_rng(0)
    k, v = token(draw)
    constants = dict(beta=1.7, h=1.3, alpha=0.8, gamma=0.6)

    def flat(x):
        return np.concatenate(step(*x.reshape(2, 3, 2), k, v, **constants)).ravel()

    jacobian = np.stack([flat(e) - flat(np.zeros(12)) for e in np.eye(12)], 1)
    omega = np.kron([[0, 1], [-1, 0]], np.eye(6))
    assert jacobian.T @ omega @ jacobian == pytest.approx(0.8**2 * 0.6 * omega, abs=1e-12)


def test_flipping_the_momentum_undoes_a_sequence():
    draw = np.random.default_rng(1)
    tokens = [(*token(draw), draw.uniform(0, 2)) for _ in range(20)]
    q, p = start = draw.standard_normal((2, 3, 2))
    for k, v, beta in tokens:
        q, p = step(q, p, k, v, beta, 0.9)
    p = -p
    for k, v, beta in reversed(tokens):
        q, p = step(q, p, k, v, beta, 0.9)
    assert q == pytest.approx(start[0], abs=1e-9) and -p == pytest.approx(start[1], abs=1e-9)


def test_without_surviving_momentum_the_layer_is_the_gated_delta_rule():
    x = {name: value.detach() for name, value in random_inputs(2, 40, 3, 8, 6, dtype=torch.float64).items()}
    h = x["h"]
    no_momentum = torch.full_like(x["log_gamma"], -torch.inf)
    memory = leapfrog(x["log_alpha"], no_momentum, x["beta"], h, mu=h / 2)
    found, _ = naive_hamiltonian(x["r"], x["k"], x["v"], memory)
    eta = (h * h * x["beta"]).broadcast_to(x["beta"].shape)
    wanted, _ = naive_delta_rule(x["r"], x["k"], x["v"], x["log_alpha"], eta)
    assert found == pytest.approx(wanted, abs=1e-12)


def period(eta, m, h=0.7):
    """The linear part of m tokens, along a key that the first addresses and no other."""
    k, beta = np.ones(1), [eta / h**2] + [0.0] * (m - 1)
    columns = []
    for start in np.eye(2):
        q, p = start.reshape(2, 1, 1)
        for strength in reversed(beta):
            q, p = step(q, p, k, np.zeros(1), strength, h)
        columns.append([q.item(), p.item()])
    return np.array(columns).T


@pytest.mark.parametrize("m", [1, 2, 7])
def test_a_key_that_returns_drives_the_leapfrog_beyond_four_over_its_period(m):
    for share in (0.1, 0.5, 0.99):
        assert abs(np.linalg.eigvals(period(4 * share / m, m))) == pytest.approx(1, abs=1e-6)
    for share in (1.01, 1.5, 3):
        eta = 4 * share / m
        largest = max(abs(np.linalg.eigvals(period(eta, m))))
        assert math.log(largest) / m == pytest.approx(math.acosh(m * eta / 2 - 1) / m)
    at_the_bound = np.linalg.matrix_power(period(4 / m, m), 1000)
    assert np.abs(at_the_bound).max() > 100


def test_one_key_conserves_an_energy():
    draw = np.random.default_rng(2)
    (k, v), beta, h = token(draw), 2.9, 1.1
    q, p = draw.standard_normal((2, 3, 2))
    energies = []
    for _ in range(200):
        kinetic, potential = np.sum((k @ p) ** 2), np.sum((k @ q - v) ** 2)
        energies.append((1 - h * h * beta / 4) * kinetic / 2 + beta * potential / 2)
        q, p = step(q, p, k, v, beta, h)
    assert energies == pytest.approx([energies[0]] * 200)


def test_the_oscillator_keeps_distances():
    draw = np.random.default_rng(3)
    states = [draw.standard_normal((3, 2)) + 1j * draw.standard_normal((3, 2)) for _ in range(2)]
    before = np.linalg.norm(states[0] - states[1])
    for _ in range(100):
        (k, v), turn = token(draw), np.exp(1j * draw.uniform(0, 7))
        states = [s - (1 - turn) * np.outer(k, k @ s - v) for s in states]
    assert np.linalg.norm(states[0] - states[1]) == pytest.approx(before)


@pytest.mark.parametrize("lattice", range(1, 25))
def test_a_rotor_counts_what_divides_its_lattice_and_nothing_else(lattice):
    """The symbol 1, repeated: the phase must tell the count modulo m, for some turn."""
    counted = {
        m
        for m in range(1, 30)
        for turn in range(lattice)
        if all(
            (a - b) % m == 0
            for a in range(m + 1)
            for b in range(a, a + lattice * m + 1)
            if (a - b) * turn % lattice == 0
        )
    }
    assert counted == {m for m in range(1, 30) if lattice % m == 0}


def test_a_snapped_rotor_is_exact_where_a_learned_one_drifts():
    turns = torch.full((1, 100_000, 1), 1 / 5 + 1e-4)
    count = torch.arange(1, 100_001) % 5
    for lattice, exact in ((None, False), (60, True), (12, False)):
        snap = None if lattice is None else torch.tensor([lattice])
        phase = cumulative_turns(turns, torch.zeros(1, 1), snap)[0, :, 0]
        assert bool(((5 * phase).round() % 5 == count).all()) is exact
