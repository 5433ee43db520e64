"""Candidates compute what their names say, from the same tokens, and their floors count what must be done."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.evaluation import op_candidates
from hmlcore.evaluation import op_timing as ops
from hmlcore.evaluation.op_candidates import CANDIDATES, candidate_named
from hmlcore.ops.attention import naive_attention
from hmlcore.ops.delta_rule import naive_delta_rule
from hmlcore.ops.hamiltonian import leapfrog, naive_hamiltonian
from hmlcore.ops.momentum_delta import naive_momentum_delta

CPU, SIZES = torch.device("cpu"), ops.Sizes(2, 8)
HERE = [name for name in CANDIDATES if not name.endswith("-fla")]


def tokens(name, length=21, batch=2):
    return ops.leaves(candidate_named(name), SIZES, batch, length, CPU, torch.float32)


def laws():
    """What each candidate computes, from the laws; others scale the query, and so the output, by 1/√N."""
    x, pair = tokens("op:gdn-transformers"), tokens("op:hml-p2")
    gates = leapfrog(*(pair[name] for name in ("log_alpha", "log_gamma", "beta", "h", "mu")))
    one, cache = tokens("op:hml-p1"), tokens("op:sdpa")
    wide = naive_delta_rule(x["q"], x["k"], x["v"], x["log_alpha"], x["beta"])[0]
    momentum, ssd = tokens("op:momentum-fla"), tokens("op:ssd-fla")
    names = ("log_alpha", "log_gamma", "beta", "eta")
    pushed = naive_momentum_delta(
        momentum["q"], momentum["k"], momentum["v"], *(momentum[n] for n in names), None
    )
    state, outputs = torch.zeros(2, 2, 8, 16), []
    for t in range(21):  # S ← αS + kvᵀ, o = Sᵀq
        state = ssd["log_alpha"][:, t].exp()[..., None, None] * state
        state = state + torch.einsum("bhn,bhd->bhnd", ssd["k"][:, t], ssd["v"][:, t])
        outputs.append(torch.einsum("bhn,bhnd->bhd", ssd["q"][:, t], state))
    return {
        "op:hml-p2": naive_hamiltonian(pair["q"], pair["k"], pair["v"], gates)[0],
        "op:hml-p1": naive_delta_rule(one["q"], one["k"], one["v"], one["log_alpha"], one["beta"])[0],
        "op:hml-p1-bytes": wide,
        "op:gdn-transformers": wide / 8**0.5,
        "op:sdpa": naive_attention(*(cache[n].transpose(1, 2) for n in "qkv")).transpose(1, 2),
        "op:gdn-fla": wide / 8**0.5,
        "op:momentum-fla": pushed[0] / 8**0.5,
        "op:ssd-fla": torch.stack(outputs, 1) / 8**0.5,
    }


@pytest.fixture
def references(monkeypatch):
    """fla's own references in the place of its kernels."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "ops")
    reference = importlib.import_module("fla_references").reference
    delta = reference("gated_delta_rule").naive_recurrent_gated_delta_rule
    gla = reference("simple_gla").naive_recurrent_simple_gla
    push = reference("momentum_delta_rule").recurrent_momentum_delta_rule_ref

    def gated(q, k, v, beta, g, initial_state=None, output_final_state=False):
        return delta(
            q, k, v, beta=beta, g=g, initial_state=initial_state, output_final_state=output_final_state
        )

    def momentum(q, k, v, use_qk_l2norm_in_kernel, log_alpha, initial_state=(None, None), **given):
        assert use_qk_l2norm_in_kernel is False
        p = k * log_alpha.exp()[..., None]
        s, m = initial_state
        return push(q, k, v, log_alpha=log_alpha, p=p, initial_S=s, initial_M=m, **given)

    modules = {
        "fla.ops.gated_delta_rule": dict(chunk_gated_delta_rule=gated, fused_recurrent_gated_delta_rule=gated),
        "fla.ops.simple_gla": dict(chunk_simple_gla=gla, fused_recurrent_simple_gla=gla),
        "fla.ops.momentum_delta_rule": dict(
            chunk_momentum_delta_rule=momentum, fused_recurrent_momentum_delta_rule=momentum
        ),
    }
    for name, functions in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**functions))
    op_candidates._fla.cache_clear()
    yield
    op_candidates._fla.cache_clear()


@pytest.mark.parametrize("name", CANDIDATES)
def test_each_computes_what_its_name_says_with_all_gradients(references, name):
    x = tokens(name)
    o = candidate_named(name).apply(x)
    torch.testing.assert_close(o, laws()[name], rtol=1e-4, atol=1e-5)
    assert o.shape == x["v"].shape
    for leaf, grad in zip(x, torch.autograd.grad(o.sin().sum(), list(x.values())), strict=True):
        assert grad.isfinite().all() and grad.abs().sum() > 0, leaf


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_step_is_the_last_token_of_a_sequence(references, name):
    """From the state of no tokens, an empty memory, the first token decoded is the first of a sequence."""
    c, x = candidate_named(name), tokens(name, length=1, batch=1)
    state = torch.zeros_like(ops.state_after(c, SIZES, 0, CPU, torch.float32))
    o = c.step({n: t.detach() for n, t in x.items()}, state)
    wanted = c.apply(x).detach()
    torch.testing.assert_close(o.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in HERE if n != "op:sdpa"])
def test_a_step_reads_the_state_it_is_given(name):
    c, x = candidate_named(name), tokens(name, length=1, batch=1)
    state = ops.state_after(c, SIZES, 1000, CPU, torch.float32)
    one, other = (c.step(x, s).detach() for s in (state, 2 * state))
    assert (one - other).norm() > 0.1 * one.norm()


def test_a_cache_is_attended_to_whole():
    c, x = candidate_named("op:sdpa"), tokens("op:sdpa", length=1, batch=1)
    cache = ops.state_after(c, SIZES, 9000, CPU, torch.float32)  # longer than the stretch it repeats
    assert cache.shape == (2, 1, 2, 9001, 8) and torch.equal(cache[:, :, :, 4096], cache[:, :, :, 0])
    with torch.no_grad():
        o = c.step(x, cache)
    keys, values = (y.transpose(1, 2) for y in cache)
    wanted = naive_attention(x["q"].transpose(1, 2), keys, values).transpose(1, 2)
    torch.testing.assert_close(o, wanted.detach())
    assert torch.equal(cache[0, :, :, -1:], x["k"]) and torch.equal(cache[1, :, :, -1:], x["v"])


def test_all_but_one_row_have_equal_state_bytes():
    memories = [c for c in CANDIDATES.values() if not c.cached]
    sizes = {c.name: c.state_bytes(SIZES, 10**6, torch.bfloat16) for c in memories}
    assert sizes.pop("op:hml-p1") * 2 == sizes["op:hml-p2"] == 4 * 2 * 2 * 8 * 8
    assert len(set(sizes.values())) == 1
    for c in memories:
        assert ops.state_after(c, SIZES, 7, CPU, torch.bfloat16).nbytes == c.state_bytes(
            SIZES, 7, torch.bfloat16
        )
    cache = candidate_named("op:sdpa")
    assert cache.state_bytes(SIZES, 7, torch.bfloat16) == 2 * 2 * 2 * 7 * 8


def test_tokens_are_the_same_for_all_and_keys_unit():
    drawn = {name: tokens(name) for name in CANDIDATES}
    for name, x in drawn.items():
        k = x["k"].transpose(1, 2) if name == "op:sdpa" else x["k"]
        assert torch.equal(k, drawn["op:hml-p2"]["k"]), name
        torch.testing.assert_close(k.norm(dim=-1), torch.ones(2, 21, 2))
        assert all(t.requires_grad for t in x.values())
    half = ops.leaves(candidate_named("op:hml-p2"), SIZES, 1, 4, CPU, torch.bfloat16)
    assert half["v"].dtype == torch.bfloat16 and half["log_alpha"].dtype == torch.float32


def test_floors_count_operands_states_and_products():
    x = tokens("op:hml-p1", length=10, batch=1)
    operands = 4 * (3 * 10 * 2 * 8 + 2 * 10 * 2)
    c = candidate_named("op:hml-p1")
    assert ops.train_bytes(c, x) == 3 * operands + 2 * 4 * 10 * 2 * 8
    one = tokens("op:hml-p1", length=1, batch=1)
    state = ops.state_after(c, SIZES, 5, CPU, torch.float32)
    assert ops.decode_bytes(c, one, state) == operands // 10 + 4 * 2 * 8 + 2 * state.nbytes
    # Predict, write and read: a multiply-add each for every float of state.
    assert c.flops_per_token(SIZES, 99) == c.step_flops(SIZES, 99) == 6 * 2 * 8 * 8
    cache = candidate_named("op:sdpa")
    pairs = sum(range(1, 100))  # of a causal sequence of 99 tokens
    assert 99 * cache.flops_per_token(SIZES, 99) == pairs * 2 * 2 * 2 * 8
    assert cache.step_flops(SIZES, 99) == 100 * 2 * 2 * 2 * 8
    assert candidate_named("op:ssd-fla").touches == 2


def test_decodings_are_as_many_as_fit_the_time(monkeypatch):
    c, x = candidate_named("op:hml-p1"), tokens("op:hml-p1", length=1, batch=1)
    state = ops.state_after(c, SIZES, 5, CPU, torch.float32)
    for seconds, steps in ((1e-5, 64), (0.01, 5), (3.0, 1)):
        monkeypatch.setattr(ops, "timed", lambda run, device, seconds=seconds: seconds)
        assert ops.warm_decoding(c, x, state, 64)[1] == steps
    assert ops.room_for_state(CPU) > 2**26


def test_what_is_missing_says_so(monkeypatch):
    for name, c in CANDIDATES.items():
        if name.endswith("-fla"):
            assert c.obstacle(CPU) == "it needs a CUDA device"

    op_candidates._transformers.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers.models.qwen3_next.modeling_qwen3_next", None)
    assert "pip install hmlcore[test]" in candidate_named("op:gdn-transformers").obstacle(CPU)
    with pytest.raises(HmlcoreError, match="unknown op candidate 'op:x'; known: op:gdn-fla"):
        candidate_named("op:x")
