"""The Hamiltonian memory as mechanics: each law derived by hand, none through the chunked form.

One column of the memory and one key direction see the map

    kick seen through two half drifts    x ← x + (h/2)p;  p ← γp − hβx;  x ← x + (h/2)p,

x = kᵀQ − v, whose trace is 1 + γ − βh² and whose determinant is γ.
"""

import math

import pytest
import torch
from memory_cases import assert_close

from hmlcore.ops.hamiltonian import (
    Coefficients,
    chunk_hamiltonian,
    delta,
    euler,
    hamiltonian_step,
    leapfrog,
    naive_hamiltonian,
)

N, D = 4, 3


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(normal(*shape, seed=seed), dim=-1)


def gates(shape, alpha=1.0, gamma=1.0, beta=1.0, h=1.0, mu=0.0):
    def full(x):
        return torch.full(shape, x, dtype=torch.float64)

    return full(math.log(alpha)), full(math.log(gamma)), full(beta), full(h), full(mu)


def one_step(dynamics, k, v, **values):
    """The token map (Q, P) [2, N, D] → (Q, P) of key k [N] and value v [D]."""
    c = dynamics(*gates((1, 1), **values))

    def move(state):
        return hamiltonian_step(k[None, None], k[None, None], v[None, None], c, state[None, None])[1][0, 0]

    return move


def column_map(dynamics, k, **values):
    """The Jacobian [2N, 2N] of one column's token map, the position's N coordinates first."""
    step = one_step(dynamics, k, torch.zeros(1, dtype=torch.float64), **values)
    jacobian = torch.func.jacrev(step)(torch.zeros(2, N, 1, dtype=torch.float64))
    return jacobian.reshape(2 * N, 2 * N)


def direction_map(dynamics, **values):
    """The same seen along the key: [2, 2]."""
    k = unit(N, seed=1)
    m = column_map(dynamics, k, **values).view(2, N, 2, N)
    return torch.einsum("n,pnqm,m->pq", k, m, k)


OMEGA = torch.kron(torch.tensor([[0.0, 1], [-1, 0]]), torch.eye(N)).double()


@pytest.mark.parametrize("dynamics", [leapfrog, euler])
@pytest.mark.parametrize("h", [0.3, 1.0, 1.7])
def test_an_undamped_step_is_symplectic(dynamics, h):
    j = column_map(dynamics, normal(N, seed=2), h=h, beta=0.7)
    assert (j.T @ OMEGA @ j - OMEGA).abs().max() < 1e-12
    assert (j - torch.eye(2 * N)).abs().max() > 0.1  # and it is no identity


@pytest.mark.parametrize("dynamics", [leapfrog, euler])
def test_friction_and_forgetting_shrink_volume_by_their_own_amount(dynamics):
    alpha, gamma = 0.9, 0.6
    values = dict(alpha=alpha, gamma=gamma, beta=0.8, h=1.2)
    assert direction_map(dynamics, **values).det() == pytest.approx(alpha**2 * gamma, rel=1e-12)
    whole = column_map(dynamics, unit(N, seed=1), **values)
    assert whole.det() == pytest.approx((alpha**2 * gamma) ** N, rel=1e-12)
    # What friction dissipates, the symplectic form says: JᵀΩJ = α²γ Ω.
    assert (whole.T @ OMEGA @ whole - alpha**2 * gamma * OMEGA).abs().max() < 1e-12


def there_and_back(dynamics, tokens=20):
    start = normal(2, N, D, seed=3)
    moves = [
        one_step(dynamics, unit(N, seed=10 + t), normal(D, seed=50 + t), h=0.6, beta=0.5) for t in range(tokens)
    ]
    flip = torch.tensor([1.0, -1]).double()[:, None, None]
    state = start
    for move in moves:
        state = move(state)
    assert (state - start).norm() > 0.5
    state = flip * state
    for move in reversed(moves):
        state = move(state)
    return float((flip * state - start).norm() / start.norm())


def test_undamped_leapfrog_reverses_in_time():
    """Flip the momentum, see the tokens backwards, flip again: the start, values and all."""
    assert there_and_back(leapfrog) < 1e-12


def test_euler_does_not_reverse():
    """Kick then drift is symplectic and not symmetric: this is what the half drifts buy."""
    assert there_and_back(euler) > 1e-2


@pytest.mark.parametrize("beta", [1.0, 0.4])
def test_leapfrog_conserves_its_shadow_energy(beta):
    """½[(1 − βh²/4)p² + βx²], x = kᵀQ − v: not ½[p² + βx²], which only h → 0 conserves."""
    h, k, v = 0.9, unit(N, seed=1), normal(D, seed=2)
    move = one_step(leapfrog, k, v, h=h, beta=beta)
    state, shadows, plain = normal(2, N, D, seed=4), [], []
    for _ in range(500):
        x, p = k @ state[0] - v, k @ state[1]
        shadows.append(0.5 * ((1 - beta * h * h / 4) * p.square() + beta * x.square()).sum())
        plain.append(0.5 * (p.square() + beta * x.square()).sum())
        state = move(state)
    shadows, plain = torch.stack(shadows), torch.stack(plain)
    assert (shadows / shadows[0] - 1).abs().max() < 1e-12
    assert (plain / plain[0] - 1).abs().max() > 0.05


@pytest.mark.parametrize("dynamics", [leapfrog, euler])
@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.1])
def test_a_constant_key_is_stable_below_the_bound_only(dynamics, gamma):
    """βh² < 2(1 + γ), by Jury's conditions on trace 1 + γ − βh² and determinant γ."""
    bound = 2 * (1 + gamma)
    for share, stable in ((0.05, True), (0.5, True), (0.999, True), (1.001, False), (1.5, False)):
        for h in (0.7, 1.3):
            m = direction_map(dynamics, gamma=gamma, h=h, beta=share * bound / h**2)
            radius = torch.linalg.eigvals(m).abs().max()
            assert bool(radius < 1 + 1e-9) == stable, (share, h, float(radius))


def test_changing_keys_can_pump_an_undamped_memory():
    """Symplectic is not bounded: below the bound of a constant key, random keys still drive it apart."""

    def growth(gamma):
        state = normal(2, N, 1, seed=5)
        for t in range(400):
            k = unit(N, seed=1000 + t)
            state = one_step(leapfrog, k, torch.zeros(1).double(), gamma=gamma, beta=0.8)(state)
        return float(state.norm())

    assert growth(1.0) > 1e6
    assert growth(0.3) < 10


def sequence(length=40, heads=2, seed=6):
    shape = (1, length, heads)
    return {
        "r": unit(*shape, N, seed=seed),
        "k": unit(*shape, N, seed=seed + 1),
        "v": normal(*shape, D, seed=seed + 2),
        "log_alpha": -0.1 * normal(*shape, seed=seed + 3).abs(),
        "log_gamma": -normal(*shape, seed=seed + 4).abs() - 0.05,
        "beta": normal(*shape, seed=seed + 5).sigmoid(),
    }


def run(form, x, c, start=None):
    o, state = form(x["r"], x["k"], x["v"], c, initial_state=start, output_final_state=True)
    return {"o": o, "state": state}


def plain_updates(order, x, h, mu, q, p):
    """Position and momentum moved by whole-matrix updates in the given order, one head at a time."""
    _, length, heads, _ = x["k"].shape
    outputs = torch.empty(1, length, heads, D, dtype=torch.float64)
    q, p = q.clone(), p.clone()
    for head in range(heads):
        for t in range(length):
            k, v = x["k"][0, t, head], x["v"][0, t, head]
            beta, gamma = x["beta"][0, t, head], x["log_gamma"][0, t, head].exp()
            q[head] *= x["log_alpha"][0, t, head].exp()
            p[head] *= x["log_alpha"][0, t, head].exp()
            for action, share in order:
                if action == "drift":
                    q[head] += share * h[head] * p[head]
                else:
                    p[head] = gamma * p[head] - h[head] * beta * torch.outer(k, k @ q[head] - v)
            outputs[0, t, head] = x["r"][0, t, head] @ (q[head] + mu[head] * p[head])
    return {"o": outputs, "state": torch.stack((q, p), 1)[None]}


ORDERS = {
    leapfrog: [("drift", 0.5), ("kick", 1), ("drift", 0.5)],
    euler: [("kick", 1), ("drift", 1)],
}


@pytest.mark.parametrize("dynamics", ORDERS)
def test_the_coefficients_are_drifts_and_kicks(dynamics):
    x, h, mu = sequence(), torch.tensor([0.8, 1.3]).double(), torch.tensor([0.4, -0.2]).double()
    start = normal(1, 2, 2, N, D, seed=20)
    wanted = plain_updates(ORDERS[dynamics], x, h, mu, start[0, :, 0], start[0, :, 1])
    c = dynamics(x["log_alpha"], x["log_gamma"], x["beta"], h, mu)
    for form in (naive_hamiltonian, chunk_hamiltonian):
        assert_close(run(form, x, c, start), wanted, 1e-12)


def test_the_coefficient_table():
    """G, c, e, f at α = .9, γ = .4, β = .5, h = .6, μ = .2, worked out by hand."""
    values = gates((1,), alpha=0.9, gamma=0.4, beta=0.5, h=0.6, mu=0.2)
    table = {leapfrog: (0.42, (0.9, 0.27), (0.09, 0.3)), euler: (0.24, (0.9, 0.0), (0.18, 0.3))}
    for dynamics, (drift, c, e) in table.items():
        found = dynamics(*values)
        assert found.rows == 2
        for name, wanted in (("drift", drift), ("c", c), ("e", e), ("f", (1, 0.2))):
            wanted = torch.tensor([wanted], dtype=torch.float64)
            torch.testing.assert_close(getattr(found, name), wanted, rtol=1e-12, atol=1e-12)
    one = delta(values[0], values[2])
    assert one.rows == 1 and one.log_gamma is None and one.drift is None
    assert [float(y) for y in (one.c, one.e, one.f)] == pytest.approx([0.9, 0.5, 1.0])


def gated_delta_rule(x):
    """S_t = S_{t−1} α_t(I − β_t k_t k_tᵀ) + β_t v_t k_tᵀ, o_t = S_t q_t with S of shape D × N,
    the gated delta rule as arXiv 2412.06464 writes it."""
    _, length, heads, _ = x["k"].shape
    memory = torch.zeros(heads, D, N, dtype=torch.float64)
    outputs = torch.empty(1, length, heads, D, dtype=torch.float64)
    for head in range(heads):
        for t in range(length):
            q, k, v = (x[name][0, t, head] for name in "rkv")
            alpha, beta = x["log_alpha"][0, t, head].exp(), x["beta"][0, t, head]
            keep = alpha * (torch.eye(N, dtype=torch.float64) - beta * torch.outer(k, k))
            memory[head] = memory[head] @ keep + beta * torch.outer(v, k)
            outputs[0, t, head] = memory[head] @ q
    return {"o": outputs, "state": memory.mT[None, :, None]}


@pytest.mark.parametrize("form", [naive_hamiltonian, chunk_hamiltonian])
def test_the_delta_limit_is_the_gated_delta_rule(form):
    x = sequence(seed=30)
    assert_close(run(form, x, delta(x["log_alpha"], x["beta"])), gated_delta_rule(x), 1e-12)


@pytest.mark.parametrize("dynamics", [leapfrog, euler])
def test_without_momentum_the_memory_is_the_delta_rule(dynamics):
    """γ → 0: the write strength is βh², read where the kick is felt (half a drift on, for leapfrog)."""
    x, h = sequence(seed=40), torch.tensor([0.9, 1.2]).double()
    mu = h / 2 if dynamics is leapfrog else torch.zeros(2).double()
    stopped = torch.full_like(x["log_gamma"], -torch.inf)
    wanted = gated_delta_rule(x | {"beta": x["beta"] * h**2})["o"]
    for form in (naive_hamiltonian, chunk_hamiltonian):
        found = run(form, x, dynamics(x["log_alpha"], stopped, x["beta"], h, mu))["o"]
        assert_close({"o": found}, {"o": wanted}, 1e-12)


def test_leapfrog_is_euler_read_half_a_drift_on():
    """Q_euler = Q_leapfrog + (h/2)P with one P, so μ_leapfrog = μ_euler + h/2 reads the same."""
    x, h = sequence(seed=50), torch.tensor([0.7, 1.1]).double()
    x["log_gamma"] = x["log_gamma"] * 0.3
    one = run(naive_hamiltonian, x, euler(x["log_alpha"], x["log_gamma"], x["beta"], h, 0.25 * h))
    other = run(naive_hamiltonian, x, leapfrog(x["log_alpha"], x["log_gamma"], x["beta"], h, 0.75 * h))
    assert_close({"o": other["o"]}, {"o": one["o"]}, 1e-12)
    q, p = other["state"].unbind(2)
    ahead = torch.stack((q + h[:, None, None] / 2 * p, p), 2)
    assert_close({"state": ahead}, {"state": one["state"]}, 1e-12)
    assert (other["state"] - one["state"]).norm() > 1e-2


@pytest.mark.parametrize("dynamics", [leapfrog, euler])
def test_only_beta_h_squared_matters(dynamics):
    """Time in units of h: β → βh², P → hP and μ → μ/h leave every output as it was."""
    x, mu = sequence(seed=60), torch.tensor([0.3, -0.4]).double()
    h = torch.tensor([0.6, 1.4]).double()
    scaled = run(naive_hamiltonian, x, dynamics(x["log_alpha"], x["log_gamma"], x["beta"], h, mu))
    ones = torch.ones(2).double()
    plain = run(naive_hamiltonian, x, dynamics(x["log_alpha"], x["log_gamma"], x["beta"] * h**2, ones, mu / h))
    assert_close({"o": scaled["o"]}, {"o": plain["o"]}, 1e-12)
    q, p = scaled["state"].unbind(2)
    assert_close({"state": torch.stack((q, h[:, None, None] * p), 2)}, {"state": plain["state"]}, 1e-12)


def test_a_repeated_write_settles_on_its_association():
    """With friction the potential's minimum is reached: kᵀQ = v, at rest."""
    k, v = unit(N, seed=1), normal(D, seed=2)
    move, state = one_step(leapfrog, k, v, gamma=0.3, beta=0.5), torch.zeros(2, N, D).double()
    for _ in range(200):
        state = move(state)
    assert (k @ state[0] - v).norm() < 1e-12 and (k @ state[1]).norm() < 1e-12


def test_what_is_not_addressed_drifts_freely():
    k, other = torch.eye(N).double()[0], torch.eye(N).double()[1]
    state = normal(2, N, D, seed=7)
    moved = one_step(leapfrog, k, normal(D, seed=8), h=0.8, beta=0.9)(state)
    torch.testing.assert_close(other @ moved[0], other @ state[0] + 0.8 * other @ state[1])
    torch.testing.assert_close(other @ moved[1], other @ state[1])


def test_coefficients_map_keeps_what_is_absent():
    c = delta(*(torch.zeros(1, 1, 1) for _ in range(2)))
    assert isinstance(c.map(lambda x: x + 1), Coefficients) and c.map(torch.exp).drift is None
