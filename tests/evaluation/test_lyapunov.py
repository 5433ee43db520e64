"""Exponents against what is known of them exactly, against the moments' bound, and against measured ones."""

import math

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.lyapunov import crossing, lyapunov_exponents, mean_square_exponents
from hmlcore.evaluation.token_map import random_keys, random_state, token_map


def exponents(maps, n=16, tokens=400, sequences=6, **options):
    return lyapunov_exponents(maps, n, tokens=tokens, sequences=sequences, **options)


def test_one_direction_has_the_exponents_of_its_map():
    """n = 1: every key is ±1, so λ is the log of the spectral radius of the map along it."""
    betas = torch.tensor([0.1, 0.5, 1.7, 3.0]).double()
    found = exponents(token_map("delta", eta=betas, alpha=0.9), n=1)
    torch.testing.assert_close(found.mean, (0.9 * (1 - betas)).abs().log(), rtol=1e-10, atol=1e-12)
    rhos = torch.tensor([0.2, 0.7, 1.0]).double()
    turned = exponents(token_map("oscillator", rho=rhos, theta=0.8), n=1)
    torch.testing.assert_close(turned.mean, rhos.log(), rtol=1e-10, atol=1e-12)
    # Complex eigenvalues of modulus √γ: up to the length of an ellipse's radius, over 4000 tokens.
    damped = exponents(token_map("leapfrog", eta=0.5, gamma=0.8), n=1, tokens=4000)
    assert float(damped.mean[0]) == pytest.approx(0.5 * math.log(0.8), abs=2e-3)


def test_the_undamped_leapfrog_grows_at_the_measured_rates():
    """hml.md, section 4: +.01 a token at η = .05, +.16 at η = 1, and it grows at every η between."""
    etas = torch.tensor([0.05, 0.1, 0.3, 1.0]).double()
    found = exponents(token_map("leapfrog", eta=etas, gamma=1.0), tokens=1500)
    assert float(found.mean[0]) == pytest.approx(0.011, abs=4 * float(found.stderr[0]) + 1e-3)
    assert float(found.mean[3]) == pytest.approx(0.161, abs=4 * float(found.stderr[3]) + 1e-3)
    assert (found.mean > 5 * found.stderr).all() and (found.mean.diff() > 0).all()


def test_the_oscillator_neither_grows_nor_fades_and_friction_makes_it_fade():
    thetas = torch.linspace(0, math.pi, 5, dtype=torch.float64)
    assert exponents(token_map("oscillator", rho=1.0, theta=thetas), tokens=100).each.abs().max() < 1e-14
    assert (exponents(token_map("oscillator", rho=0.8, theta=thetas), tokens=100).each < -1e-3).all()


def test_euler_and_leapfrog_have_one_exponent():
    """Q_euler = Q_leapfrog + P/2: the same map in other coordinates."""
    gates = {"eta": torch.tensor([0.1, 1.0, 2.5]).double(), "gamma": torch.tensor([1.0, 0.5, 0.9]).double()}
    one, other = (exponents(token_map(name, **gates), tokens=2000).each for name in ("leapfrog", "euler"))
    assert (one - other).abs().max() < 3e-3
    a, b = (mean_square_exponents(token_map(name, **gates), 16) for name in ("leapfrog", "euler"))
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_forgetting_adds_its_logarithm():
    for name, gates in (("delta", {"eta": 0.7}), ("leapfrog", {"eta": 0.7, "gamma": 0.9})):
        kept, forgot = (exponents(token_map(name, alpha=a, **gates), tokens=200).each for a in (1.0, 0.95))
        torch.testing.assert_close(forgot, kept + math.log(0.95), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [4, 16])
def test_mean_squares_bound_exponents(n):
    """½ log E‖·‖² is at least the exponent, by Jensen, for every dynamics."""
    for name, gates in (
        (
            "leapfrog",
            {"eta": torch.tensor([0.05, 0.5, 1.5, 0.5, 1.0]), "gamma": torch.tensor([1, 1, 1, 0.5, 0.2])},
        ),
        ("delta", {"eta": torch.tensor([0.1, 1.0, 1.9, 3.0])}),
        ("oscillator", {"rho": torch.tensor([0.2, 0.9, 1.0]), "theta": torch.tensor([2.0, 1.0, 0.3])}),
    ):
        maps = token_map(name, **gates)
        found = exponents(maps, n=n, tokens=1000)
        assert (found.mean - 3 * found.stderr <= mean_square_exponents(maps, n) + 1e-9).all(), name


def test_mean_squares_are_the_average_over_keys():
    """A step's E‖S‖² from an isotropic state, against 200,000 keys; and the delta rule's in closed form."""
    maps, n = token_map("leapfrog", eta=0.8, gamma=0.7), 3
    keys = random_keys(1, 200_000, n, seed=0)[0]
    state = torch.eye(n, dtype=torch.float64).expand(1, 1, len(keys), n, n)
    state = torch.cat((state, 0.3 * state), 1)  # E[SSᵀ] = Σ ⊗ I with Σ = (1, .3)(1, .3)ᵀ
    after = maps.step(keys, state)[0]
    found = torch.einsum("pbnd,qbnd->pq", after, after) / len(keys) / n
    start = torch.outer(*(torch.tensor([1, 0.3]).double(),) * 2)
    g, m = maps.still[0], maps.along[0]
    torch.testing.assert_close(found, (1 - 1 / n) * g @ start @ g.T + m @ start @ m.T / n, rtol=5e-3, atol=5e-3)
    beta = torch.tensor([0.3, 1.0, 2.0, 2.5]).double()
    wanted = 0.5 * (1 - (1 - (1 - beta) ** 2) / n).log()
    torch.testing.assert_close(mean_square_exponents(token_map("delta", eta=beta), n), wanted)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9])
def test_wide_keys_make_momentum_a_delta_rule(gamma):
    """The mean square's boundary tends to η = 2(1 − γ), from above, as 1/n."""
    etas = (1 - gamma) * torch.linspace(1, 5, 4001, dtype=torch.float64)
    maps = token_map("leapfrog", eta=etas, gamma=gamma)
    ratios = [
        float(crossing(etas, mean_square_exponents(maps, n)[:, None])[0]) / (1 - gamma) for n in (16, 64, 256)
    ]
    assert all(ratio >= 2 - 1e-3 for ratio in ratios)
    assert ratios == sorted(ratios, reverse=True) or gamma == 0
    assert ratios[-1] == pytest.approx(2, abs=0.01)


def test_the_boundary_of_stability_lies_above_three_halves():
    """η = 1.5(1 − γ) is inside; the exponent crosses zero between 2(1 − γ) and 2.4(1 − γ) at n = 16."""
    for gamma in (0.5, 0.9):
        etas = (1 - gamma) * torch.linspace(1, 3, 21, dtype=torch.float64)
        each = exponents(token_map("leapfrog", eta=etas, gamma=gamma), tokens=1500).each
        at = crossing(etas, each).mean() / (1 - gamma)
        assert 2 < float(at) < 2.4
        assert (each[etas <= 1.5 * (1 - gamma)] < 0).all()


def test_crossings_are_interpolated_and_absent_where_there_is_none():
    x = torch.tensor([1.0, 2.0, 4.0])
    columns = torch.tensor([[-1.0, -1, 1, -3], [-1, -2, 1, 1], [1, -1, 2, 1]])
    found = crossing(x, columns)
    assert found[[0, 3]].tolist() == pytest.approx([3.0, 1.75]) and found[[1, 2]].isnan().all()
    with pytest.raises(HmlcoreError, match="x must ascend"):
        crossing(x.flip(0), columns)
    with pytest.raises(HmlcoreError, match="a value for each of the 2 exponents"):
        crossing(x, columns[:2])


def test_a_memory_that_erases_has_no_exponent_left():
    found = exponents(token_map("delta", eta=1.0), n=1, tokens=8)
    assert (found.mean < -100).all()


def test_exponents_depend_on_the_seed_alone():
    maps = token_map("leapfrog", eta=0.5, gamma=1.0)
    one, same, other = (exponents(maps, tokens=40, seed=s).each for s in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    state = random_state(maps, 2, 4, 1, 0)
    exponents(maps, tokens=8)
    assert torch.equal(state, random_state(maps, 2, 4, 1, 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 3}, "tokens must be at least 4, got 3"),
        ({"sequences": 1}, "sequences must be at least 2, got 1"),
        ({"settle": -1}, "settle must be at least 0, got -1"),
        ({"n": 0}, "n must be at least 1, got 0"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    with pytest.raises(HmlcoreError, match=message):
        exponents(token_map("delta", eta=0.5), **options)
