"""The momentum delta rule: its recurrence written out, its limits, its volume, and where it overflows."""

import numpy as np
import pytest
import torch
from fla_references import reference
from matrix_memory_cases import apply, convert, draw, everything
from memory_cases import assert_close

from hmlcore.ops.delta_rule import naive_delta_rule
from hmlcore.ops.hamiltonian import euler, naive_hamiltonian
from hmlcore.ops.momentum_delta import chunk_momentum_delta, momentum_delta_step, naive_momentum_delta

both_forms = pytest.mark.parametrize("form", [naive_momentum_delta, chunk_momentum_delta])


def test_one_token_by_hand():
    """S = 4, M = 1, α = 1/2, μ = .9, β = .2, η = .5, k = 3, p = 2, v = 5, q = 2:
    M ← .9 − .5·3·(5 − 8) = 5.4;  S ← 2 − .2·5.4 = .92;  o = 1.84."""
    scalars = {"q": 2, "k": 3, "v": 5, "log_alpha": np.log(0.5), "log_mu": np.log(0.9), "beta": 0.2, "eta": 0.5}
    one = {name: torch.full((1, 1), x, dtype=torch.float64) for name, x in scalars.items()}
    one |= {name: one[name][..., None] for name in "qkv"}
    state = torch.tensor([4.0, 1.0], dtype=torch.float64).view(1, 1, 2, 1, 1)
    o, new = momentum_delta_step(*one.values(), torch.full((1, 1, 1), 2.0).double(), state)
    assert new.flatten().tolist() == pytest.approx([0.92, 5.4], rel=1e-14)
    assert float(o) == pytest.approx(1.84, rel=1e-14)


def by_the_recurrence(x, predict_decayed):
    """One head, one sequence, in numpy: rows of S and M are key channels, columns value channels."""
    x = {name: t.detach().numpy() for name, t in x.items()}
    outputs, states = np.zeros_like(x["v"]), np.zeros_like(x["initial_state"])
    for b in range(x["k"].shape[0]):
        for h in range(x["k"].shape[2]):
            s, m = x["initial_state"][b, h]
            for t in range(x["k"].shape[1]):
                q, k, v, p = (x[name][b, t, h] for name in "qkvp")
                alpha, mu = np.exp(x["log_alpha"][b, t, h]), np.exp(x["log_mu"][b, t, h])
                p = alpha * k if predict_decayed else p
                m = mu * m - x["eta"][b, t, h] * np.outer(k, v - p @ s)
                s = alpha * s - x["beta"][b, t, h] * m
                outputs[b, t, h] = q @ s
            states[b, h] = s, m
    return {"o": torch.from_numpy(outputs), "state": torch.from_numpy(states)}


@both_forms
@pytest.mark.parametrize("predict_decayed", [True, False])
def test_it_is_the_recurrence(form, predict_decayed):
    x = draw("momentum_delta", 70, seed=1)
    given = {name: t for name, t in x.items() if not (predict_decayed and name == "p")}
    o, state = apply(form, given)
    assert_close({"o": o, "state": state}, by_the_recurrence(x, predict_decayed), 1e-12)


@both_forms
def test_the_default_predicting_key_is_the_decayed_one(form):
    x = draw("momentum_delta", 33, seed=2)
    with torch.no_grad():
        x["p"].copy_(x["log_alpha"].exp()[..., None] * x["k"])
    default = apply(form, {name: t for name, t in x.items() if name != "p"})
    for a, b in zip(default, apply(form, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def without_p(op_arguments):
    return {name: t for name, t in op_arguments.items() if name != "p"}


@both_forms
def test_without_momentum_it_is_the_gated_delta_rule(form):
    """μ = 0: S ← αS − βη k(αkᵀS − vᵀ)."""
    x = draw("momentum_delta", 50, seed=3)
    with torch.no_grad():
        x["log_mu"].fill_(-torch.inf)
    o, state = apply(form, without_p(x))
    wanted, s = naive_delta_rule(
        x["q"], x["k"], x["v"], x["log_alpha"], x["beta"] * x["eta"],
        initial_state=x["initial_state"][:, :, 0], output_final_state=True,
    )  # fmt: skip
    assert_close({"o": o, "S": state[:, :, 0]}, {"o": wanted, "S": s}, 1e-12)


def test_it_is_symplectic_euler_with_friction_mu_over_alpha():
    """Q = S, P = −M, h = β, kick η/β."""
    x = draw("momentum_delta", 50, seed=4)
    coefficients = euler(
        x["log_alpha"], x["log_mu"] - x["log_alpha"], x["eta"] / x["beta"], x["beta"], torch.zeros(1).double()
    )
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64)[:, None, None]
    o, state = naive_hamiltonian(
        x["q"], x["k"], x["v"], coefficients, sign * x["initial_state"], output_final_state=True
    )
    found = apply(naive_momentum_delta, without_p(x))
    assert_close(dict(zip(("o", "state"), found, strict=True)), {"o": o, "state": sign * state}, 1e-12)


def test_one_step_contracts_volume_by_alpha_mu():
    """p = αk: the Jacobian of (S, M) for one value channel has determinant (αμ)^N, whatever β and η."""
    x = draw("momentum_delta", 1, batch=1, heads=1, n=4, d=1, seed=5)
    now = [x[name][:, 0].detach() for name in ("q", "k", "v", "log_alpha", "log_mu", "beta", "eta")]

    def move(state):
        return momentum_delta_step(*now, None, state.view(1, 1, 2, 4, 1))[1].flatten()

    jacobian = torch.autograd.functional.jacobian(move, torch.randn(8, dtype=torch.float64))
    wanted = float(4 * (x["log_alpha"] + x["log_mu"]).detach())
    assert float(jacobian.logdet()) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("alpha", [0.1, 1e-6, 0.0])
def test_forgetting_faster_than_momentum_fades_overflows_nothing(alpha):
    """μ/α to the power of a chunk is beyond fp32 here; the form never builds it."""
    x = draw("momentum_delta", 130, n=64, d=2, seed=6)
    with torch.no_grad():
        x["log_alpha"].fill_(alpha).log_()
        x["log_mu"].fill_(-1e-3)
        x["beta"].mul_(0.2)
    law = everything(naive_momentum_delta, x)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        found = everything(chunk_momentum_delta, convert(x, dtype), chunk_size=64)
        assert_close(found, law, tolerance)


@both_forms
def test_it_is_what_flash_linear_attention_computes(form):
    """Where that package is installed: query scaled by 1/√N, fp32 inside, state (S, M) first."""
    x = {name: t.detach().float() for name, t in draw("momentum_delta", 70, n=8, d=6, seed=7).items()}
    rest = {name: t for name, t in x.items() if name not in ("q", "initial_state")}
    o, state = reference("momentum_delta_rule").recurrent_momentum_delta_rule_ref(
        x["q"], **rest, initial_S=x["initial_state"][:, :, 0], initial_M=x["initial_state"][:, :, 1],
        output_final_state=True,
    )  # fmt: skip
    found = apply(form, x | {"q": x["q"] * 8**-0.5})
    wanted = {"o": o, "state": state.movedim(0, 2)}
    assert_close(dict(zip(("o", "state"), found, strict=True)), wanted, 1e-5)
