"""Retention: the paper's formula, its three equal forms, and its decays."""

import math

import pytest
import torch
from fla_references import reference
from matrix_memory_cases import apply, draw, everything
from memory_cases import assert_close

from hmlcore.ops.retention import chunk_retention, multi_scale, naive_retention, parallel_retention

every_form = pytest.mark.parametrize("form", [naive_retention, parallel_retention, chunk_retention])


def by_the_formula(q, k, v, log_gamma):
    """o_n = Σ_{m≤n} γ^(n−m) (q_n·k_m) v_m, sums and powers one by one in Python's floats."""
    o = torch.zeros_like(v)
    for b, n, h in torch.cartesian_prod(*(torch.arange(s) for s in q.shape[:3])).tolist():
        for m in range(n + 1):
            weight = math.exp(float(log_gamma[h])) ** (n - m)
            score = sum(float(x) * float(y) for x, y in zip(q[b, n, h], k[b, m, h], strict=True))
            for d in range(v.shape[-1]):
                o[b, n, h, d] += weight * score * float(v[b, m, h, d])
    return o


@every_form
def test_it_is_the_papers_formula(form):
    x = {name: t.detach() for name, t in draw("retention", 13, batch=1, n=3, d=2).items()}
    wanted = by_the_formula(*(x[name] for name in ("q", "k", "v", "log_gamma")))
    found, _ = apply(form, x, start=False)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("length", [1, 7, 64, 65, 200])
def test_parallel_recurrent_and_chunkwise_are_equal(length):
    x = draw("retention", length, heads=4, seed=length)
    recurrent = everything(naive_retention, x)
    assert_close(everything(parallel_retention, x), recurrent, 1e-12)
    for size in (16, 64):
        assert_close(everything(chunk_retention, x, chunk_size=size), recurrent, 1e-12)


@every_form
def test_a_token_fades_at_its_heads_rate(form):
    """One write, then silence: after n tokens its read is γ^n of what it was."""
    x = {name: t.detach() for name, t in draw("retention", 90, heads=3).items()}
    x["k"][:, 1:] = 0
    x["q"] = x["q"][:, :1].expand_as(x["q"])
    o, state = apply(form, x, start=False)
    age = torch.arange(90, dtype=torch.float64)[:, None, None]
    kept = (1 - 2.0 ** (-5 - torch.arange(3, dtype=torch.float64)[:, None])) ** age
    torch.testing.assert_close(o, kept * o[:, :1], rtol=1e-10, atol=1e-13)
    first = torch.einsum("bhn,bhd->bhnd", x["k"][:, 0], x["v"][:, 0])
    torch.testing.assert_close(state, kept[-1, :, None] * first, rtol=1e-10, atol=1e-13)


def test_each_head_remembers_twice_as_long():
    gammas = [math.exp(g) for g in multi_scale(8)]
    assert gammas == pytest.approx([1 - 2.0 ** (-5 - i) for i in range(8)], rel=1e-15)
    assert gammas[0] == pytest.approx(31 / 32) and gammas[7] == pytest.approx(4095 / 4096)
    assert multi_scale(24)[-1] == pytest.approx(-(2.0**-28), rel=1e-8)  # where 1 − γ in fp32 would be 0


@pytest.mark.parametrize("form", [parallel_retention, chunk_retention])
def test_a_fast_decay_stays_finite(form):
    """γ = e⁻⁵⁰: γ^−t overflows even float64 within a chunk, and is never formed."""
    x = draw("retention", 100)
    with torch.no_grad():
        x["log_gamma"].fill_(-50)
    found = everything(form, x)
    assert all(t.isfinite().all() for t in found.values())
    assert_close(found, everything(naive_retention, x), 1e-12)


def test_it_is_what_flash_linear_attention_computes():
    """Where that package is installed: [B, H, T, D], query scaled by 1/√N, fp32 inside."""
    naive = reference("retention").naive_retention
    x = {name: t.detach().float() for name, t in draw("retention", 40, heads=4, n=8, d=8).items()}
    wanted = naive(*(x[name].transpose(1, 2) for name in "qkv")).transpose(1, 2)
    found, _ = apply(chunk_retention, x | {"q": x["q"] * 8**-0.5}, start=False)
    assert_close({"o": found}, {"o": wanted}, 1e-5)
