"""The gated delta rule: by hand, as the Hamiltonian memory's limit, and against transformers."""

import inspect

import pytest
import torch
from matrix_memory_cases import apply, convert, draw, everything, gradients
from memory_cases import assert_close
from transformers.models.qwen3_next import modeling_qwen3_next as qwen

from hmlcore.ops.delta_rule import chunk_delta_rule, delta_rule_step, naive_delta_rule
from hmlcore.ops.hamiltonian import delta, naive_hamiltonian

both_forms = pytest.mark.parametrize("form", [naive_delta_rule, chunk_delta_rule])


def test_one_token_by_hand():
    """N = D = 1, S = 4, α = 1/2, k = 3, v = 5, β = 1/10, q = 2: S ← 2 − 0.3·(6 − 5) = 1.7, o = 3.4."""
    one = torch.ones(1, 1, dtype=torch.float64)
    o, s = delta_rule_step(
        2 * one[..., None], 3 * one[..., None], 5 * one[..., None], (0.5 * one).log(), 0.1 * one,
        4 * one[..., None, None],
    )  # fmt: skip
    assert float(s) == pytest.approx(1.7, rel=1e-14) and float(o) == pytest.approx(3.4, rel=1e-14)


@both_forms
def test_a_full_write_replaces_what_the_key_recalled(form):
    """β = α = 1: the last value under a key is read back exactly; an orthogonal key keeps its own."""
    keys = torch.eye(2, dtype=torch.float64)[[0, 1, 0, 0, 1]]
    values = torch.arange(15, dtype=torch.float64).view(5, 3)
    k, v = keys[None, :, None], values[None, :, None]
    gate = torch.zeros(1, 5, 1, dtype=torch.float64)
    o, state = form(k, k, v, gate, gate + 1, output_final_state=True)
    torch.testing.assert_close(o[0, :, 0], values)  # every token reads its own write
    torch.testing.assert_close(state[0, 0], values[[3, 4]])


def test_it_is_the_over_damped_hamiltonian_memory():
    x = draw("delta_rule", 40)

    def hamiltonian(q, k, v, log_alpha, beta, *, initial_state, output_final_state):
        o, s = naive_hamiltonian(q, k, v, delta(log_alpha, beta), initial_state[:, :, None], output_final_state)
        return o, s.squeeze(2)

    assert_close(everything(hamiltonian, x), everything(naive_delta_rule, x), 1e-13)


ORACLES = {
    name: inspect.unwrap(getattr(qwen, name))  # torch itself, whatever kernels are installed
    for name in ("torch_recurrent_gated_delta_rule", "torch_chunk_gated_delta_rule")
}


@both_forms
@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("length", [1, 70])
def test_it_is_what_transformers_computes(form, oracle, length):
    """Outputs, final state and gradients; their query is scaled by 1/√N."""
    x = convert(draw("delta_rule", length, heads=3, n=8, d=6, seed=length), torch.float32)
    o, state = ORACLES[oracle](
        x["q"], x["k"], x["v"], g=x["log_alpha"], beta=x["beta"],
        initial_state=x["initial_state"], output_final_state=True,
    )  # fmt: skip
    wanted = {"o": o, "state": state} | gradients(o, state, x)

    def scaled(q, *rest, **options):
        return form(q * 8**-0.5, *rest, **options)

    assert_close(everything(scaled, x), wanted, 1e-5)


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_comparison_would_notice_another_rule(oracle):
    """Predicting with S before it fades (kᵀS for α kᵀS) is another rule, and is told apart."""
    x = convert(draw("delta_rule", 70, n=8, d=6), torch.float32)
    o, _ = ORACLES[oracle](x["q"], x["k"], x["v"], g=x["log_alpha"], beta=x["beta"])
    stale = delta(x["log_alpha"], x["beta"])
    stale = stale._replace(c=torch.ones_like(stale.c))
    other, _ = naive_hamiltonian(x["q"] * 8**-0.5, x["k"], x["v"], stale)
    ours, _ = apply(naive_delta_rule, x | {"q": x["q"] * 8**-0.5}, start=False)
    assert (other - o).norm() > 1e-3 * o.norm() and (ours - o).norm() < 1e-5 * o.norm()
