"""Decays of key channels: by the definition, however fast they are, and as a head's where all are alike."""

import inspect
import math

import pytest
import torch
import torch.nn.functional as F
from matrix_memory_cases import draw
from memory_cases import assert_close, gradients
from transformers.models.kimi_linear import modeling_kimi_linear as kimi

from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend
from hmlcore.ops.delta_rule import chunk_delta_rule, delta_rule, naive_delta_rule
from hmlcore.ops.delta_rule.fla import FLA
from hmlcore.ops.faded import by_channel
from hmlcore.ops.matrix_memory import decay_matrix
from hmlcore.ops.oscillator import chunk_oscillator, naive_oscillator, oscillator

N = 5
RULES = {"delta_rule": (chunk_delta_rule, naive_delta_rule), "oscillator": (chunk_oscillator, naive_oscillator)}
DISPATCHED = {"delta_rule": delta_rule, "oscillator": oscillator}
each_rule = pytest.mark.parametrize("rule", RULES)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def inputs(rule, length, log_alpha, dtype=torch.float64):
    x = draw(rule, length, n=N, d=4, seed=length)
    x = {name: t.detach() for name, t in x.items()}
    return {n: t.to(dtype).requires_grad_() for n, t in (x | {"log_alpha": log_alpha}).items()}


def everything(form, x):
    *given, start = x.values()
    o, state = form(*given, initial_state=start, output_final_state=True)
    return {"o": o, "state": state} | gradients(o, state, x)


@pytest.mark.parametrize("size", [1, 2, 8, 16])
def test_products_are_those_of_the_definition(size):
    q, k, alpha = normal(2, size, N), normal(2, size, N, seed=1), normal(2, size, N, seed=2).sigmoid()

    def between(t, s):
        return alpha[:, s:t].prod(1)

    x = by_channel(q, k, alpha.log())
    for t in range(size):
        torch.testing.assert_close(x.first_k[:, t], between(t + 1, 0) * k[:, t])
        torch.testing.assert_close(x.first_q[:, t], between(t + 1, 0) * q[:, t])
        torch.testing.assert_close(x.last_k[..., t], between(size, t + 1) * k[:, t])
        for s in range(size):
            fading = between(t + 1, s + 1) if s <= t else 0
            qk = (q[:, t] * fading * k[:, s]).sum(-1)
            kk = (k[:, t] * fading * k[:, s]).sum(-1) * (s < t)
            torch.testing.assert_close(x.qk[:, t, s], qk, rtol=1e-12, atol=1e-14)
            torch.testing.assert_close(x.kk[:, t, s], kk, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(x.keep, between(size, 0)[..., None])


def test_channels_that_decay_alike_are_a_head():
    q, k, log_alpha = normal(2, 16, N), normal(2, 16, N, seed=1), F.logsigmoid(normal(2, 16, seed=2))
    found, fading = by_channel(q, k, log_alpha[..., None].expand_as(k)), decay_matrix(log_alpha)
    between, since, until = fading[:, 1:, 1:], fading[:, 1:, :1], fading[:, -1, 1:, None]
    wanted = {
        "kk": (between * (k @ k.mT)).tril(-1), "qk": (between * (q @ k.mT)).tril(),
        "first_k": since * k, "first_q": since * q, "last_k": (until * k).mT, "keep": fading[:, -1:, :1],
    }  # fmt: skip
    for name, expected in wanted.items():
        part = getattr(found, name)
        torch.testing.assert_close(part, expected.expand_as(part), rtol=1e-12, atol=1e-14)


@each_rule
def test_a_memory_whose_channels_decay_alike_is_the_one_of_one_decay(rule):
    x = draw(rule, 40, n=N, d=4)
    wide = {n: t[..., None].expand(*t.shape, N) if n == "log_alpha" else t for n, t in x.items()}
    for form in RULES[rule]:
        *given, start = wide.values()
        o, state = form(*given, initial_state=start, output_final_state=True)
        found = {"o": o, "state": state} | gradients(o, state, x)
        assert_close(found, everything(RULES[rule][1], x), 1e-12)


def test_the_law_is_a_product_of_matrices():
    """S = (I − βkkᵀ) diag(α) S + βkvᵀ."""
    x = inputs("delta_rule", 9, -normal(2, 9, 2, N).abs())
    o, state = naive_delta_rule(
        *(t for n, t in x.items() if n != "initial_state"), initial_state=x["initial_state"],
        output_final_state=True,
    )  # fmt: skip
    s = x["initial_state"]
    for t in range(9):
        k, v, beta = (x[n][:, t] for n in ("k", "v", "beta"))
        kk = k[..., :, None] * k[..., None, :]
        factor = torch.eye(N, dtype=torch.float64) - beta[..., None, None] * kk
        s = factor @ torch.diag_embed(x["log_alpha"][:, t].exp()) @ s
        s = s + beta[..., None, None] * k[..., :, None] * v[..., None, :]
        torch.testing.assert_close(o[:, t], (x["q"][:, t, :, None] @ s).squeeze(2))
    torch.testing.assert_close(state, s)


@pytest.mark.parametrize("form", RULES["delta_rule"])
@pytest.mark.parametrize("length", [1, 70])
def test_it_is_what_transformers_computes(form, length):
    """Outputs, final state and gradients of Kimi Delta Attention; its query is scaled by 1/√N."""
    oracle = inspect.unwrap(kimi.recurrent_kimi_delta_attention)
    x = inputs("delta_rule", length, -normal(2, length, 2, N).abs(), torch.float32)
    o, state = oracle(
        x["q"], x["k"], x["v"], g=x["log_alpha"], beta=x["beta"], initial_state=x["initial_state"],
        output_final_state=True,
    )  # fmt: skip

    def scaled(q, *rest, **options):
        return form(q * N**-0.5, *rest, **options)

    assert_close(everything(scaled, x), {"o": o, "state": state} | gradients(o, state, x), 1e-5)


@each_rule
@pytest.mark.parametrize("alpha", [1.0, 0.5, 1e-3, 1e-30, 0.0])
def test_a_chunk_is_exact_however_fast_channels_fade(rule, alpha):
    """In fp32, one channel at a time beside others that keep; exp of a prefix sum would overflow at 1e-3."""
    log_alpha = torch.full((2, 100, 2, N), -1e-3, dtype=torch.float64)
    log_alpha[..., ::2] = math.log(alpha) if alpha else -math.inf
    chunk, naive = RULES[rule]
    law = everything(naive, inputs(rule, 100, log_alpha))
    found = everything(chunk, inputs(rule, 100, log_alpha, torch.float32))
    assert all(t.isfinite().all() for t in found.values())
    assert_close(found, law, 2e-6)
    assert_close(everything(chunk, inputs(rule, 100, log_alpha)), law, 1e-12)


@each_rule
def test_the_op_takes_decays_by_channel(rule):
    x = inputs(rule, 20, -normal(2, 20, 2, N).abs())
    for a, b in zip(*(everything(f, x).values() for f in (DISPATCHED[rule], RULES[rule][0])), strict=True):
        assert torch.equal(a, b)


def test_a_kernel_of_one_decay_a_head_is_passed_over():
    x = inputs("delta_rule", 4, -normal(2, 4, 2, N).abs(), torch.float32)
    one = draw("delta_rule", 4, dtype=torch.float32)
    assert FLA.unfit(*x.values()) == "it takes one decay a head, given one for each channel"
    assert FLA.unfit(*one.values()) is None
    assert backend.choose("delta_rule", "cpu", given=tuple(x.values())).form.name == "chunk"


@each_rule
def test_decays_of_another_shape_and_above_one_are_refused(rule):
    wrong = r"log_alpha must be \[B, T, H\] = \(2, 6, 2\), or with N = 5, got \(2, 6, 2, 4\)"
    for form in RULES[rule]:
        with pytest.raises(HmlcoreError, match=wrong):
            everything(form, inputs(rule, 6, torch.zeros(2, 6, 2, N - 1)))
    with pytest.raises(HmlcoreError, match=r"log_alpha must be at most 0 \(alpha in \[0, 1\]\), got 0.1"):
        everything(RULES[rule][0], inputs(rule, 6, torch.full((2, 6, 2, N), 0.1)))
