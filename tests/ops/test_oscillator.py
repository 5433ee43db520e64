"""The addressed oscillator: every form against the law, the law against complex arithmetic, its mechanics."""

import itertools
import math

import matrix_memory_cases
import pytest
import torch
from matrix_memory_cases import apply, everything
from memory_cases import assert_close

from hmlcore.errors import HmlcoreError
from hmlcore.ops.delta_rule import naive_delta_rule
from hmlcore.ops.hamiltonian import hamiltonian_step, leapfrog
from hmlcore.ops.oscillator import (
    as_complex,
    as_real,
    chunk_oscillator,
    naive_oscillator,
    oscillator_step,
    write_strength,
)
from hmlcore.ops.oscillator.solve import oscillator_solve, oscillator_solve_backward

both_forms = pytest.mark.parametrize("form", [naive_oscillator, chunk_oscillator])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(normal(*shape, seed=seed), dim=-1)


def draw(length, *, d=6, seed=0):
    return matrix_memory_cases.draw("oscillator", length, d=d, seed=seed)


@both_forms
def test_gates_shut_completely_leave_everything_finite(form):
    x = draw(40, seed=6)
    with torch.no_grad():
        x["log_alpha"][:, 7] = -torch.inf
        x["log_rho"][:, 11] = -torch.inf
    found = everything(form, x)
    assert all(t.isfinite().all() for t in found.values())
    assert_close(found, everything(naive_oscillator, x), 1e-12)


def test_the_law_is_the_recurrence_in_complex_numbers():
    """One head at a time: S ← αS − (1 − ρe^{iθ}) k(αkᵀS − vᵀ), o = Sᵀq."""
    x = {name: t.detach() for name, t in draw(30, seed=9).items()}
    o, state = apply(naive_oscillator, x)
    v, s = as_complex(x["v"]), as_complex(x["initial_state"])
    for b, h in itertools.product(range(2), range(2)):
        memory = s[b, h]
        for t in range(30):
            q, k = (x[name][b, t, h].to(s.dtype) for name in "qk")
            alpha, rho = x["log_alpha"][b, t, h].exp(), x["log_rho"][b, t, h].exp()
            e = 1 - torch.polar(rho, x["theta"][b, t, h])
            memory = alpha * memory - e * torch.outer(k, alpha * k @ memory - v[b, t, h])
            torch.testing.assert_close(o[b, t, h], as_real(q @ memory), rtol=1e-11, atol=1e-12)
        torch.testing.assert_close(state[b, h], as_real(memory), rtol=1e-11, atol=1e-12)


def test_the_flow_solves_hamiltons_equations():
    """θ small steps of Q̇ = ∂H/∂P, Ṗ = −∂H/∂Q for H = ½(‖kᵀQ − Re v‖² + ‖kᵀP − Im v‖²), run backwards:
    angles are counted anticlockwise."""
    k, v, state, theta = unit(4, seed=1), normal(6, seed=2), normal(4, 6, seed=3), 0.8
    s, steps = as_complex(state), 2000
    for _ in range(steps):
        middle = s
        for _ in range(4):  # implicit midpoint
            w = k.to(s.dtype) @ middle - as_complex(v)
            middle = s + 0.5j * theta / steps * torch.outer(k.to(s.dtype), w)
        s = 2 * middle - s
    found = one_step(k, v, theta=theta)(state)
    torch.testing.assert_close(found, as_real(s), rtol=1e-7, atol=1e-7)


def one_step(k, v, *, alpha=1.0, rho=1.0, theta=0.0):
    gates = [torch.full((1, 1), g, dtype=k.dtype) for g in (math.log(alpha), math.log(rho), theta)]

    def move(state):
        k_, v_ = k[None, None], v[None, None]
        return oscillator_step(k_, k_, v_, *gates, state[None, None])[1][0, 0]

    return move


def jacobian(**gates):
    """Of one pair's token map, [2N, 2N] with the N positions first."""
    move = one_step(unit(4, seed=1), torch.zeros(2).double(), **gates)
    j = torch.func.jacrev(move)(torch.zeros(4, 2).double())
    return j.permute(1, 0, 3, 2).reshape(8, 8)


OMEGA = torch.kron(torch.tensor([[0.0, 1], [-1, 0]]), torch.eye(4)).double()


@pytest.mark.parametrize("theta", [0.3, 1.7, math.pi])
def test_without_friction_a_step_is_orthogonal_and_symplectic(theta):
    j = jacobian(theta=theta)
    assert (j.T @ j - torch.eye(8)).abs().max() < 1e-14
    assert (j.T @ OMEGA @ j - OMEGA).abs().max() < 1e-14
    assert (j - torch.eye(8)).abs().max() > 0.1  # and it is no identity


def test_the_eigenvalue_along_the_key_is_any_point_of_the_disc():
    for rho, theta in ((0.2, 0.5), (1.0, 2.0), (0.7, -1.0)):
        eigenvalues = torch.linalg.eigvals(jacobian(rho=rho, theta=theta))
        turned = eigenvalues[(eigenvalues - 1).abs() > 1e-6]
        wanted = torch.polar(torch.tensor(rho), torch.tensor(theta)).to(turned.dtype)
        assert len(turned) == 2 and (turned.real - wanted.real).abs().max() < 1e-6
        assert sorted(turned.imag.tolist()) == pytest.approx(sorted([wanted.imag.item(), -wanted.imag.item()]))


def test_what_is_not_addressed_does_not_move():
    k, other, state = torch.eye(4).double()[0], torch.eye(4).double()[1:], normal(4, 6, seed=5)
    moved = one_step(k, normal(6, seed=6), rho=0.7, theta=1.3)(state)
    assert torch.equal(other @ moved, other @ state)
    assert (k @ moved - k @ state).norm() > 0.1


@both_forms
def test_at_angle_zero_it_is_the_delta_rule(form):
    x = draw(50, seed=10)
    with torch.no_grad():
        x["theta"].zero_()
    o, state = apply(form, x)
    beta = -x["log_rho"].expm1()
    wanted, s = naive_delta_rule(
        x["q"], x["k"], x["v"], x["log_alpha"], beta,
        initial_state=x["initial_state"], output_final_state=True,
    )  # fmt: skip
    assert_close({"o": o, "state": state}, {"o": wanted, "state": s}, 1e-14)


def test_half_a_turn_is_a_reflection():
    """kᵀS − v changes its sign, and twice is nothing."""
    k, v, state = unit(4, seed=1), normal(6, seed=2), normal(4, 6, seed=3)
    move = one_step(k, v, theta=math.pi)
    torch.testing.assert_close(k @ move(state) - v, v - k @ state, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(move(move(state)), state, rtol=1e-13, atol=1e-13)


def test_small_write_strengths_keep_their_digits():
    rho, theta = torch.tensor([-1e-7, -1e-3, -0.5, -torch.inf]), torch.tensor([1e-6, 0.0, 2.0, 1.0])
    exact = 1 - torch.polar(rho.double().exp(), theta.double())
    found = write_strength(rho, theta)
    assert found.dtype == torch.complex64
    assert ((found - exact).abs() / exact.abs()).max() < 2e-7


def test_a_long_way_back_in_single_precision():
    """30,000 undamped tokens, then the same backwards with −θ: the start."""
    length, g = 30_000, torch.Generator().manual_seed(0)
    k = torch.nn.functional.normalize(torch.randn(1, length, 1, 8, generator=g), dim=-1)
    v, theta = torch.randn(1, length, 1, 4, generator=g), torch.rand(1, length, 1, generator=g)
    none, start = torch.zeros(1, length, 1), torch.randn(1, 1, 8, 4, generator=g)
    with torch.no_grad():
        _, far = chunk_oscillator(k, k, v, none, none, theta, initial_state=start, output_final_state=True)
        k, v, theta = (x.flip(1) for x in (k, v, theta))
        _, back = chunk_oscillator(k, k, v, none, none, -theta, initial_state=far, output_final_state=True)
    assert (far - start).norm() > 10 * start.norm()
    assert (back - start).norm() < 1.5e-3 * start.norm()


def growth(step, start, tokens=700):
    """Lyapunov exponent of the homogeneous dynamics (v = 0) under changing keys, per token."""
    keys, state, total = unit(tokens, start.shape[-2], seed=7), start / start.norm(), 0.0
    for k in keys:
        state = step(k, state)
        total += state.norm().log().item()
        state = state / state.norm()
    return total / tokens


def test_a_product_of_turns_neither_grows_nor_fades():
    """hml.md, section 4: 0.00000 for the oscillator, less with friction."""
    start, nothing = normal(4, 2, seed=8), torch.zeros(2).double()
    assert abs(growth(lambda k, s: one_step(k, nothing, theta=0.7)(s), start)) < 1e-14
    assert growth(lambda k, s: one_step(k, nothing, theta=0.7, rho=0.9)(s), start) < -0.02


def test_an_undamped_leapfrog_grows_where_the_oscillator_does_not():
    """hml.md, section 4: +.01 a token at η = βh² = .05, +.16 at η = 1, symplectic as each step is."""
    zero = torch.zeros(1, 1).double()

    def exponent(eta):
        c = leapfrog(zero, zero, zero + eta, zero + 1, zero)
        return growth(
            lambda k, s: hamiltonian_step(k[None, None], k[None, None], zero[None], c, s)[1],
            normal(1, 1, 2, 4, 1, seed=9),
        )

    assert exponent(0.05) == pytest.approx(0.01, abs=0.004)
    assert exponent(1.0) == pytest.approx(0.16, abs=0.015)


REFUSED = [
    ("log_alpha", 0.1, r"log_alpha must be at most 0 \(alpha in \[0, 1\]\), got 0\.1"),
    ("log_rho", 0.25, r"log_rho must be at most 0 \(rho in \[0, 1\]\), got 0\.25"),
    ("log_rho", math.nan, r"log_rho must be at most 0 .*got nan"),
    ("theta", math.inf, "theta must be finite, got inf"),
    ("theta", math.nan, "theta must be finite, got nan"),
]


@both_forms
@pytest.mark.parametrize(("name", "value", "message"), REFUSED)
def test_gates_outside_their_range_are_refused(form, name, value, message, monkeypatch):
    x = {key: t.detach() for key, t in draw(4).items()}
    x[name][0, 2, 1] = value
    if not math.isfinite(value):  # refused where asked only
        apply(form, x)
        monkeypatch.setenv("HMLCORE_CHECK_GATES", "1")
    with pytest.raises(HmlcoreError, match=message):
        apply(form, x)


@both_forms
def test_values_must_come_in_pairs(form):
    with pytest.raises(HmlcoreError, match=r"v must have an even number D of channels.*got D = 5"):
        apply(form, draw(4, d=5))


@both_forms
def test_what_does_not_fit_is_refused(form):
    x = draw(4)
    with pytest.raises(HmlcoreError, match=r"theta must be \[B, T, H\] = \(2, 4, 2\), got \(2, 3, 2\)"):
        apply(form, x | {"theta": x["theta"][:, :3]})
    with pytest.raises(HmlcoreError, match="initial_state must have shape"):
        apply(form, x | {"initial_state": x["initial_state"][:1]})
    with pytest.raises(HmlcoreError, match="chunk_size must be at least 1, got 0"):
        apply(chunk_oscillator, x, chunk_size=0)


def test_the_memory_whose_errors_turn_is_an_operator_that_torch_accepts():
    x = {name: t.detach().float() for name, t in draw(20).items()}
    e = torch.stack((-x["log_rho"].expm1(), x["theta"].sin()), -1)
    alpha = x["log_alpha"].exp()[..., None]
    gates = [y.requires_grad_() for y in (x["log_alpha"], alpha, e, torch.ones_like(alpha))]
    operands = [x[name].requires_grad_() for name in "qkv"]
    state, operator = x["initial_state"][:, :, None].requires_grad_(), torch.ops.hmlcore.hamiltonian_chunk
    found = torch.library.opcheck(operator.default, (*operands, state, gates, 16, True, False))
    assert set(found.values()) == {"SUCCESS"}


def solve_inputs(dtype=torch.float64):
    lower = normal(2, 5, 5).tril(-1)
    parts = lower, normal(2, 5, seed=1), normal(2, 5, seed=2), normal(2, 5, 3, seed=3), normal(2, 5, 4, seed=4)
    return tuple(x.to(dtype).requires_grad_() for x in parts)


def test_the_complex_solve_is_what_it_says():
    lower, real, imag, keys, values = solve_inputs()
    of_keys, of_values, _ = oscillator_solve(lower, real, imag, keys, values)
    e = torch.complex(real, imag)
    right = torch.cat((keys.to(e.dtype), torch.complex(values[..., :2], values[..., 2:])), -1)
    y = e[..., None] * torch.linalg.solve(torch.eye(5) + lower * e[:, None], right)
    wanted = (
        torch.cat((y[..., :3].real, y[..., :3].imag), -2),
        torch.cat((y[..., 3:].real, y[..., 3:].imag), -1),
    )
    torch.testing.assert_close((of_keys, of_values), wanted, rtol=1e-12, atol=1e-12)


def test_the_complex_solve_is_an_operator_that_torch_accepts():
    """Its schema, the shapes that a compiler is told, and its gradient's registration."""
    inputs = solve_inputs(torch.float32)
    torch.library.opcheck(oscillator_solve, inputs)
    given = [x.detach() for x in inputs[:3]]
    x, d_keys, d_values = normal(2, 5, 5, 2), normal(2, 10, 3), normal(2, 5, 4)
    args = (*given, *(y.float() for y in (x, d_keys, d_values)))
    torch.library.opcheck(oscillator_solve_backward, args)


def test_gradients_of_the_complex_solve_are_derivatives():
    def solved(lower, *rest):
        return oscillator_solve(lower.tril(-1), *rest)[:2]

    assert torch.autograd.gradcheck(solved, solve_inputs(), fast_mode=False)
