"""Leapfrog and Euler: what one token conserves, and what damping, the first step and injection change."""

import math

import pytest
import torch
from hml_cases import HEADS, SIZE, STEPPED, WIDTH, double, make, unit
from mixer_cases import normal

from hmlcore.errors import HmlcoreError
from hmlcore.layers import HML
from hmlcore.ops.hamiltonian import Coefficients, hamiltonian_step

each = pytest.mark.parametrize("dynamics", STEPPED)


def one_token(layer):
    """The 2N×2N matrix by which one token with a fixed key moves one value channel of the first head, v = 0."""
    x, k = double(1, 1, WIDTH), unit(1, HEADS, SIZE, seed=2)
    c = layer.coefficients(x)[0].map(lambda y: y[:, 0])
    columns = []
    for i in range(2 * SIZE):
        memory = torch.zeros(1, HEADS, 2, SIZE, SIZE, dtype=torch.float64)
        memory[0, 0, i // SIZE, i % SIZE, 0] = 1
        _, after = layer.rule.advance(k, k, torch.zeros_like(k), c, memory)
        columns.append(after[0, 0, :, :, 0].flatten())
    return torch.stack(columns, 1)


def twisted(matrix):
    """MᵀJM − J, 0 where M is symplectic."""
    j = torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64), torch.eye(SIZE).double())
    return matrix.T @ j @ matrix - j


@pytest.mark.parametrize("step_size", [1.0, 0.5])
@each
def test_undamped_one_token_is_a_symplectic_map(dynamics, step_size):
    matrix = one_token(make(dynamics, damping=1.0, step_size=step_size))
    assert twisted(matrix).abs().max() < 1e-14
    assert torch.linalg.det(matrix).item() == pytest.approx(1, abs=1e-13)
    assert (matrix - torch.eye(2 * SIZE)).abs().max() > 0.1  # it does move


@each
def test_damping_shrinks_phase_space_by_itself_and_nothing_else(dynamics):
    """One momentum a key direction, each times γ: the volume by γ^N."""
    for damping in (0.9, 0.5):
        matrix = one_token(make(dynamics, damping=damping))
        assert torch.linalg.det(matrix).item() == pytest.approx(damping**SIZE, rel=1e-12)
        assert twisted(matrix).abs().max() > 0.05
    # Tokens that choose lose more than their γ: α < 1 forgets as well.
    assert torch.linalg.det(one_token(make(dynamics))) < 0.5


def test_injection_into_both_is_not_symplectic():
    assert twisted(one_token(make("leapfrog", damping=1.0, injection="both"))).abs().max() > 0.05


@each
def test_the_coefficients_have_no_loss_where_undamped(dynamics):
    layer = make(dynamics, damping=1.0)
    c, gates = layer.coefficients(double(2, 5, WIDTH))
    assert not c.log_alpha.any() and not c.log_gamma.any()
    assert (gates["alpha"] == 1).all() and (gates["gamma"] == 1).all()
    assert gates["beta"].std() > 0.01  # what is written is still the tokens' choice


@each
@pytest.mark.parametrize("step_size", [0.25, 0.5, 1.0, 2.0])
def test_the_first_step_is_h_in_every_head(dynamics, step_size):
    layer = HML(WIDTH, HEADS, dynamics=dynamics, step_size=step_size)
    torch.testing.assert_close(layer.rule.log_h.exp(), torch.full((HEADS,), step_size), rtol=2e-7, atol=0)
    assert layer.rule.log_h.requires_grad
    c, gates = layer.coefficients(normal(1, 3, WIDTH))
    torch.testing.assert_close(c.e[..., 1], gates["beta"] * step_size)


def test_injection_into_both_is_the_leapfrog_and_the_delta_write():
    """One step by hand: half a drift, a kick to P, the same error's delta write to Q, half a drift."""
    layer = make("leapfrog", injection="both", step_size=0.5)
    c, gates = layer.coefficients(double(1, 1, WIDTH))
    alpha, beta, gamma = (gates[name][:, 0, :, None, None] for name in ("alpha", "beta", "gamma"))
    h, mu = layer.rule.log_h.exp()[:, None, None], layer.rule.mu[:, None, None]
    r, k = unit(1, HEADS, SIZE, seed=2), unit(1, HEADS, SIZE, seed=5)
    v, memory = double(1, HEADS, SIZE, seed=3), double(1, HEADS, 2, SIZE, SIZE, seed=4)
    q, p = alpha * memory[:, :, 0], alpha * memory[:, :, 1]
    q = q + h / 2 * p
    error = torch.einsum("bhn,bhd->bhnd", k, torch.einsum("bhn,bhnd->bhd", k, q) - v)
    p = gamma * p - h * beta * error
    q = q + h / 2 * p - beta * error
    o, after = hamiltonian_step(r, k, v, c.map(lambda y: y[:, 0]), memory)
    torch.testing.assert_close(after, torch.stack((q, p), 2), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(o, torch.einsum("bhn,bhnd->bhd", r, q + mu * p), rtol=1e-13, atol=1e-13)


@each
def test_injection_changes_what_is_written_to_the_position_alone(dynamics):
    x = double(2, 5, WIDTH)
    once, gates = make(dynamics).coefficients(x)
    both, _ = make(dynamics, injection="both").coefficients(x)
    for name in Coefficients._fields:
        if name != "e":
            assert torch.equal(getattr(once, name), getattr(both, name)), name
    torch.testing.assert_close(both.e[..., 0] - once.e[..., 0], gates["beta"])
    assert torch.equal(both.e[..., 1], once.e[..., 1])


@pytest.mark.parametrize("step_size", [0.0, -1.0, math.nan, math.inf])
def test_a_step_that_is_none_is_refused(step_size):
    with pytest.raises(HmlcoreError, match=f"step_size must be above 0 and at most 100, got {step_size}"):
        HML(WIDTH, dynamics="leapfrog", step_size=step_size)


def test_an_unknown_injection_is_refused():
    with pytest.raises(HmlcoreError, match="unknown injection 'position'; known: both, momentum"):
        HML(WIDTH, dynamics="leapfrog", injection="position")
