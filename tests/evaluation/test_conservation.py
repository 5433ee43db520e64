"""The way back, energies and gradients: against exact arithmetic, the laws of each step, and autograd."""

import math

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation.conservation import (
    LOST,
    drift,
    energies,
    gradient_by_lag,
    reversal_errors,
    shadow_energies,
)
from hmlcore.evaluation.token_map import random_keys, token_map
from hmlcore.ops import hamiltonian as stepped
from hmlcore.ops.oscillator import naive_oscillator

ETA, THETA = 0.1, math.acos(1 - 0.05)
LEAPFROG = token_map("leapfrog", eta=ETA, gamma=1.0)
EULER = token_map("euler", eta=ETA, gamma=1.0)
OSCILLATOR = token_map("oscillator", rho=1.0, theta=THETA)
DAMPED = token_map("leapfrog", eta=ETA, gamma=0.5)


@pytest.mark.parametrize("maps", [LEAPFROG, EULER, OSCILLATOR, token_map("delta", eta=ETA)])
def test_every_dynamics_returns_in_double_precision(maps):
    (found,) = reversal_errors(maps, [60], dtype=torch.float64)
    assert found.value < 1e-12 and (found.at, found.n) == (60, 4)


def test_the_oscillator_returns_where_the_leapfrog_is_lost():
    """In single precision: linear growth of rounding against exponential."""
    free = reversal_errors(OSCILLATOR, [10, 100, 1000])
    assert [x.at for x in free] == [10, 100, 1000]
    assert all(x.value < 1e-8 * x.at + 5e-7 for x in free) and free[-1].value > free[0].value
    # What was not tried has no entry, and a loss is given as one.
    lost = reversal_errors(LEAPFROG, [10, 100, 1000, 2000])
    assert [x.at for x in lost] == [10, 100, 1000] and lost[-1].value == LOST
    assert lost[0].value < 1e-5 < lost[1].value < 1e-2
    # Friction is what a way back must amplify.
    assert reversal_errors(DAMPED, [10, 100, 1000])[-1].at == 100


def test_shadow_energies_are_conserved_and_plain_ones_are_not():
    for maps, mixed in ((LEAPFROG, 0.0), (EULER, 0.5)):
        shadow = drift(shadow_energies(maps, ETA, mixed, 300))
        assert shadow.max() < 1e-10 and drift(energies(maps, ETA, 300, changing=False)).min() > 5e-3
    # The wrong one is not conserved: the forms are told apart.
    assert drift(shadow_energies(EULER, ETA, 0.0, 300)).max() > 1e-2


def test_energy_is_a_length_for_the_oscillator_and_grows_in_the_leapfrog():
    for changing in (False, True):
        assert drift(energies(OSCILLATOR, THETA, 300, changing=changing)).max() < 1e-11
    path = energies(LEAPFROG, ETA, 300, changing=True)
    assert path.shape == (301, 16) and (path[-1] > 100 * path[0]).all()
    assert (energies(DAMPED, ETA, 300, changing=True)[-1] < 0.1 * path[0]).all()


def test_energies_are_half_squares():
    """At the start: of S₀ = (Q, P) itself, and of what the first key sees of it."""
    for changing, n in ((True, 5), (False, 5)):
        first = energies(LEAPFROG, ETA, 1, changing=changing, n=n, sequences=2, seed=3)[0]
        g = torch.Generator().manual_seed(4)
        state = torch.randn(2, 2, n, 1, generator=g, dtype=torch.float64)[..., 0]
        state = state / state.square().sum((0, 2)).sqrt()[None, :, None]
        if changing:
            q, p = state.square().sum(-1)
            wanted = 0.5 * (p + ETA / n * q)
        else:
            x, p = torch.einsum("bn,pbn->pb", random_keys(1, 2, n, 3)[0], state)
            wanted = 0.5 * (p**2 + ETA * x**2)
        torch.testing.assert_close(first, wanted)


@pytest.mark.parametrize("gamma", [1.0, 0.6])
def test_gradients_of_the_leapfrog_are_autograds(gamma):
    found = {
        x.at: x.value for x in gradient_by_lag(token_map("leapfrog", eta=ETA, gamma=gamma), [0, 1, 7], n=5)
    }
    # The keys as they are met on the way back; all queries of a basis, one a batch entry.
    keys = random_keys(8, 16, 5, 0).flip(0).transpose(0, 1)  # [B, T, N]
    v = torch.zeros(16, 8, 1, 1, dtype=torch.float64, requires_grad=True)
    shape = torch.zeros(16, 8, 1, dtype=torch.float64)
    c = stepped.leapfrog(shape, shape + math.log(gamma), shape + ETA, shape + 1, shape)
    squares = torch.zeros(16, 8, dtype=torch.float64)
    for basis in torch.eye(5, dtype=torch.float64):
        o, _ = stepped.naive_hamiltonian(basis.expand(16, 8, 1, 5), keys[:, :, None], v, c)
        squares += torch.autograd.grad(o[:, -1].sum(), v)[0][..., 0, 0] ** 2 / 5
    wanted = squares.mean(0).sqrt().flip(0)
    for lag, value in found.items():
        assert value == pytest.approx(float(wanted[lag]), rel=1e-10), lag


def test_gradients_of_the_oscillator_are_autograds():
    maps = token_map("oscillator", rho=0.9, theta=THETA)
    found = {x.at: x.value for x in gradient_by_lag(maps, [0, 3], n=5)}
    keys = random_keys(4, 16, 5, 0).flip(0).transpose(0, 1)[:, :, None]
    v = torch.zeros(16, 4, 1, 2, dtype=torch.float64, requires_grad=True)
    gate = torch.zeros(16, 4, 1, dtype=torch.float64)
    squares = torch.zeros(16, 4, dtype=torch.float64)
    for basis in torch.eye(5, dtype=torch.float64):
        r = basis.expand(16, 4, 1, 5)
        o, _ = naive_oscillator(r, keys, v, gate, gate + math.log(0.9), gate + THETA)
        squares += torch.autograd.grad(o[:, -1, :, 0].sum(), v)[0].square().sum((-2, -1)) / 5
    for lag, value in found.items():
        assert value == pytest.approx(float(squares.mean(0)[3 - lag].sqrt()), rel=1e-10)


def test_gradients_stay_explode_and_vanish():
    lags = [1, 256]
    free, wild, damped = (
        [x.value for x in gradient_by_lag(maps, lags)] for maps in (OSCILLATOR, LEAPFROG, DAMPED)
    )
    assert free[1] == pytest.approx(free[0], rel=1e-10)
    assert free[0] == pytest.approx(abs(1 - complex(math.cos(THETA), math.sin(THETA))) / 4, rel=1e-10)
    assert wild[1] > 100 * wild[0] and damped[1] < 0.2 * damped[0]


def test_bad_arguments_are_refused():
    for steps, problem in (
        ([], "not be empty"),
        ([0], "be at least 1"),
        ([10, 5], "ascend"),
        ([3, 3], "ascend"),
    ):
        with pytest.raises(HmlcoreError, match=f"steps must {problem}"):
            reversal_errors(LEAPFROG, steps)
    with pytest.raises(HmlcoreError, match="lags must be at least 0, got -1"):
        gradient_by_lag(LEAPFROG, [-1])
    two = token_map("delta", eta=[0.1, 0.2])
    for call in (
        lambda: reversal_errors(two, [1]),
        lambda: gradient_by_lag(two, [1]),
        lambda: energies(two, 1.0, 3, changing=True),
    ):
        with pytest.raises(HmlcoreError, match="maps must hold one map, got 2"):
            call()
    with pytest.raises(HmlcoreError, match="tokens must be at least 1, got 0"):
        energies(LEAPFROG, ETA, 0, changing=True)
    with pytest.raises(HmlcoreError, match="cannot be undone"):
        reversal_errors(token_map("delta", eta=1.0), [1])
    with pytest.raises(HmlcoreError, match="a shadow energy needs a pair"):
        shadow_energies(OSCILLATOR, ETA, 0.0, 3)
