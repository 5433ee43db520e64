"""The nonlinear oscillators: every form against the law, the law against its equations, its mechanics."""

import itertools
import math

import pytest
import torch
from matrix_memory_cases import convert, over_time, separately
from memory_cases import assert_close
from nonlinear_cases import apply, draw, everything

from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend
from hmlcore.ops.nonlinear import (
    Net,
    free_step,
    inverse_step,
    naive_nonlinear,
    net_force,
    nonlinear,
    nonlinear_step,
    segment_nonlinear,
)
from hmlcore.ops.nonlinear.segments import are_steady

both_potentials = pytest.mark.parametrize("potential", ["sep", "mlp"])
both_forms = pytest.mark.parametrize("form", [naive_nonlinear, segment_nonlinear])
both_ways = pytest.mark.parametrize("reversible", [False, True])
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# The forms.


@both_potentials
@pytest.mark.parametrize(
    ("length", "start"), [(1, True), (2, False), (15, True), (16, False), (17, True), (40, False)]
)
def test_segments_are_naive_whatever_the_length(potential, length, start):
    x = draw(potential, length, seed=length)
    law = everything(naive_nonlinear, x, start=start)
    for dtype, tolerance in TOLERANCE.items():
        for reversible in (False, True):
            given = convert(x, dtype)
            found = everything(segment_nonlinear, given, start=start, segment=16, reversible=reversible)
            assert_close(found, law, tolerance)


@both_potentials
@pytest.mark.parametrize("segment", [1, 7, 32, 100])
def test_segments_are_naive_whatever_their_size(potential, segment):
    x = draw(potential, 40, seed=1)
    law = everything(naive_nonlinear, x)
    for reversible in (False, True):
        found = everything(segment_nonlinear, x, segment=segment, reversible=reversible)
        assert_close(found, law, 1e-11)


@both_potentials
@both_ways
def test_gradients_are_those_of_finite_differences(potential, reversible):
    x = draw(potential, 5, batch=1, heads=1, n=2, d=2, seed=2)

    def function(*leaves):
        given = dict(zip(x, leaves, strict=True))
        return apply(segment_nonlinear, given, segment=2, reversible=reversible)

    assert torch.autograd.gradcheck(function, tuple(x.values()), atol=1e-7)


@both_potentials
@both_forms
def test_two_halves_are_the_whole(potential, form):
    x = draw(potential, 41, seed=3)
    whole, last = apply(form, x)

    def part(where, state):
        named = {name: t[:, where] if name in over_time(x) else t for name, t in x.items()}
        return apply(form, named | {"weight": x["weight"]} | state if "weight" in x else named | state)

    first, middle = part(slice(0, 18), {})
    second, end = part(slice(18, None), {"initial_state": middle})
    assert_close({"o": torch.cat((first, second), 1), "state": end}, {"o": whole, "state": last}, 1e-13)


@both_potentials
@both_forms
def test_packed_sequences_are_separate_sequences(potential, form):
    bounds = [0, 1, 14, 30, 37]
    x = draw(potential, 37, batch=1, seed=4)
    x |= {"initial_state": draw(potential, 1, batch=4, seed=5)["initial_state"]}

    found = everything(form, x, cu_seqlens=torch.tensor(bounds))
    assert_close(found, everything(separately(naive_nonlinear, bounds), x), 1e-11)


@both_potentials
@both_ways
def test_gates_shut_completely_or_nearly_leave_every_gradient_right(potential, reversible):
    """Where α is 0 a step has no inverse, and where Πα is small the inverse has no digits."""
    x = draw(potential, 60, seed=6)
    with torch.no_grad():
        x["log_alpha"][:, 7, 0] = -torch.inf
        x["log_alpha"][1, 33] = math.log(1e-6)
        x["log_alpha"][:, 40:, 1] = math.log(0.3)
    law = everything(naive_nonlinear, x)
    for dtype, tolerance in TOLERANCE.items():
        found = everything(segment_nonlinear, convert(x, dtype), segment=16, reversible=reversible)
        assert all(t.isfinite().all() for t in found.values())
        assert_close(found, law, tolerance)


def test_a_segment_is_inverted_while_every_head_keeps_a_64th():
    alpha = torch.ones(10, 2)
    alpha[1, 0] = 1 / 63
    alpha[4, 1] = 1 / 65
    alpha[9, 0] = 0
    assert are_steady(alpha, 3) == [True, False, True, False]


@both_potentials
def test_inverting_loses_few_digits_in_single_precision(potential):
    """Against the same segments walked again: α = 1, and the least Πα that is still inverted."""
    for kept in (1.0, 1 / 60):
        x = draw(potential, 64, n=8, d=8, seed=7)
        with torch.no_grad():
            x["log_alpha"].fill_(kept).log_().div_(32)
            x["drift"] *= 0.5
            x["pull"] *= 0.5
        x = convert(x, torch.float32)
        again = everything(segment_nonlinear, x)
        inverted = everything(segment_nonlinear, x, reversible=True)
        assert torch.equal(again["o"], inverted["o"])
        assert not torch.equal(again["dk"], inverted["dk"])  # it did go the other way
        assert_close(inverted, again, 2e-5)


@both_potentials
def test_the_state_stays_wide_in_narrow_arithmetic(potential):
    narrow = {"r", "k", "v"}
    x = {
        name: t.detach().bfloat16() if name in narrow else t.float()
        for name, t in draw(potential, 50, seed=8).items()
    }
    with torch.autocast("cpu", torch.bfloat16):
        o, state = apply(segment_nonlinear, x)
    wanted, exact = apply(naive_nonlinear, {name: t.double() for name, t in x.items()})
    assert o.dtype == torch.bfloat16 and state.dtype == torch.float32
    assert_close({"state": state}, {"state": exact}, 1e-5)
    assert_close({"o": o}, {"o": wanted}, 5e-3)


def test_the_form_is_chosen_and_checks_itself():
    choice = backend.choose("nonlinear", "cpu")
    assert choice.form.name == "segments"
    assert backend.self_check(choice, "cpu") < 1e-4
    for potential in ("sep", "mlp"):
        x = draw(potential, 9, seed=8)
        assert torch.equal(apply(nonlinear, x)[0], apply(segment_nonlinear, x)[0])


# The law.


def one_token(x):
    """The tokens of a single step, and the network."""
    net = Net(x["weight"], x["bias"], x["out"]) if "push" in x else None
    push = x["push"][:, 0] if "push" in x else None
    return {name: t[:, 0] for name, t in x.items() if name in ("r", "k", "v", "log_alpha", "beta")} | {
        "drift": x["drift"][:, 0], "pull": x["pull"][:, 0], "mu": x["mu"], "push": push, "net": net,
    }  # fmt: skip


@both_potentials
def test_a_step_is_its_equations(potential):
    """Written with the potential itself: every force is a gradient by autograd, head by head."""
    x = {name: t.detach() for name, t in draw(potential, 1, batch=2, seed=9).items()}
    o, state = apply(naive_nonlinear, x)
    for b, h in itertools.product(range(2), range(2)):
        drift, pull = (x[name][b, 0, h][:, None] for name in ("drift", "pull"))

        def potential_of(q, pull=pull, b=b, h=h):
            if potential == "sep":
                return (pull * q.cosh().log()).sum()
            hidden = (x["weight"][h] @ q + x["bias"][h][:, None]).tanh()
            return 0.5 * (pull * q.square()).sum() + x["push"][b, 0, h] * (x["out"][h] @ hidden).sum()

        kick = torch.func.grad(potential_of)
        q, p = x["initial_state"][b, h]
        p = p - kick(q)
        q = q + drift * p
        p = p - kick(q)
        q, p = (x["log_alpha"][b, 0, h].exp() * y for y in (q, p))
        p = p + x["beta"][b, 0, h] * torch.outer(x["k"][b, 0, h], x["v"][b, 0, h])
        torch.testing.assert_close(state[b, h], torch.stack((q, p)), rtol=1e-12, atol=1e-13)
        read = x["r"][b, 0, h] @ (q + x["mu"][h][:, None] * p)
        torch.testing.assert_close(o[b, 0, h], read, rtol=1e-12, atol=1e-13)


def column_map(potential, alpha=1.0):
    """A token's map of one column (q, p) [2N], nothing written."""
    x = one_token({name: t.detach() for name, t in draw(potential, 1, batch=1, heads=1, d=1, seed=10).items()})
    x |= {"beta": torch.zeros(1, 1).double(), "log_alpha": torch.full((1, 1), alpha, dtype=torch.float64).log()}
    return lambda s: nonlinear_step(*x.values(), s.view(1, 1, 2, 5, 1))[1].flatten()


OMEGA = torch.kron(torch.tensor([[0.0, 1], [-1, 0]]), torch.eye(5)).double()


@both_potentials
@pytest.mark.parametrize("alpha", [1.0, 0.8])
def test_a_step_is_symplectic_up_to_its_friction(potential, alpha):
    """JᵀΩJ = α²Ω far from the minimum and near it: conformally symplectic."""
    for scale in (0.1, 1.0, 5.0):
        j = torch.func.jacrev(column_map(potential, alpha))(scale * normal(10, seed=11))
        assert (j.T @ OMEGA @ j - alpha**2 * OMEGA).abs().max() < 1e-13
        assert (j - alpha * torch.eye(10)).abs().max() > 0.1  # and it moves


@both_potentials
def test_a_step_is_undone_by_its_inverse(potential):
    x = {name: t.detach() for name, t in draw(potential, 1, seed=12).items()}
    token, start = one_token(x), x["initial_state"]
    _, state = nonlinear_step(*token.values(), start)
    wanted = ("k", "v", "log_alpha", "beta", "drift", "pull", "push", "net")
    back = inverse_step(*(token[name] for name in wanted), state)
    assert (state - start).norm() > 0.1 * start.norm()
    torch.testing.assert_close(back, start, rtol=1e-13, atol=1e-13)


def wells(q, p, omega):
    """Σ ω(½p² + log cosh q)."""
    return (omega * (0.5 * p.square() + q.cosh().log())).sum((-2, -1))


def test_undamped_log_cosh_wells_keep_their_energy():
    """No drift over 20,000 steps of either size, only an error of order Δ² that comes and goes."""
    step, omega = torch.tensor([0.05, 0.1]).double()[:, None, None], torch.tensor([1.0, 0.3, 0.1]).double()
    q, p = (scale * normal(1, 1, 3, 4, seed=s).repeat(2, 1, 1, 1) for scale, s in ((3, 13), (2, 14)))
    drift, pull, start, gaps = step * omega, step / 2 * omega, wells(q, p, omega[:, None]), []
    for i in range(20_000):
        q, p = free_step(q, p, drift, pull)
        if i % 97 == 0:
            gaps.append((wells(q, p, omega[:, None]) / start - 1).abs()[:, 0])
    worst, late = torch.stack(gaps).amax(0), torch.stack(gaps[3 * len(gaps) // 4 :]).amax(0)
    assert (worst > 0).all() and (worst < 0.1 * step.flatten() ** 2).all()
    assert (late < 1.5 * worst).all()


def test_the_order_of_the_step_is_two():
    """Against a hundred times as many steps, half the step is a quarter of the error."""
    omega = torch.ones(1, 1, 1).double()
    q0, p0 = torch.tensor(1.5).double().view(1, 1, 1, 1), torch.tensor(0.5).double().view(1, 1, 1, 1)

    def after(steps):
        q, p, step = q0, p0, 2.0 / steps
        for _ in range(steps):
            q, p = free_step(q, p, step * omega, step / 2 * omega)
        return torch.stack((q, p))

    exact = after(4000)
    coarse, fine = ((after(steps) - exact).norm() for steps in (20, 40))
    assert float(coarse / fine) == pytest.approx(4, rel=0.05)


def test_the_forces_where_the_state_is_large():
    """A well pulls with at most its pull, a network with at most ‖W‖‖out‖; nothing overflows."""
    x = draw("mlp", 1, seed=15)
    q = 1e30 * normal(2, 2, 5, 3, seed=16)
    net = Net(x["weight"], x["bias"], x["out"])
    assert net_force(q, net).abs().max() <= 1e-12  # saturated
    bound = x["weight"].abs().mT @ x["out"].abs()[..., None]
    assert (net_force(normal(2, 2, 5, 3, seed=17), net).abs() <= bound).all()
    o, state = apply(segment_nonlinear, draw("sep", 3) | {"initial_state": 1e30 * normal(2, 2, 2, 5, 3)})
    assert o.isfinite().all() and state.isfinite().all()


# Refusals.


REFUSED = [
    ("log_alpha", 0.1, r"log_alpha must be at most 0 \(alpha in \[0, 1\]\), got 0\.1"),
    ("log_alpha", math.nan, "log_alpha must be at most 0 .*got nan"),
    ("beta", math.inf, "beta must be finite, got inf"),
    ("drift", math.nan, "drift must be finite, got nan"),
    ("pull", -1.0, r"drift times pull must be between 0 and 2 \(a stable step\), got -"),
    ("pull", 100.0, "drift times pull must be between 0 and 2"),
    ("push", math.nan, "push must be finite, got nan"),
]


@both_forms
@pytest.mark.parametrize(("name", "value", "message"), REFUSED)
def test_values_outside_their_range_are_refused(form, name, value, message, monkeypatch):
    x = {key: t.detach() for key, t in draw("mlp", 4).items()}
    x[name][0, 2, 1] = value
    if not math.isfinite(value):  # refused where asked only
        apply(form, x)
        monkeypatch.setenv("HMLCORE_CHECK_GATES", "1")
    with pytest.raises(HmlcoreError, match=message):
        apply(form, x)


@both_forms
def test_what_does_not_fit_is_refused(form):
    x = draw("mlp", 4)
    for change, message in (
        ({"beta": x["beta"][:, :3]}, r"beta must be \[B, T, H\] = \(2, 4, 2\), got \(2, 3, 2\)"),
        ({"pull": x["pull"][..., :4]}, r"pull must have shape \(2, 4, 2, 5\), got \(2, 4, 2, 4\)"),
        ({"mu": x["mu"][:1]}, r"mu must have shape \(2, 5\), got \(1, 5\)"),
        ({"bias": x["bias"][:, :3]}, r"net\.bias must have shape \(2, 4\), got \(2, 3\)"),
        ({"weight": x["weight"][:, :0]}, r"net\.weight must be \[H, M, N\] with M > 0, got \(2, 0, 5\)"),
        ({"initial_state": x["initial_state"][:1]}, "initial_state must have shape"),
    ):
        with pytest.raises(HmlcoreError, match=message):
            apply(form, x | change)
    arguments = [t for name, t in draw("sep", 4).items() if name != "initial_state"]
    with pytest.raises(HmlcoreError, match="push and net go together"):
        form(*arguments, x["push"])
    with pytest.raises(HmlcoreError, match="segment must be at least 1, got 0"):
        apply(segment_nonlinear, x, segment=0)
