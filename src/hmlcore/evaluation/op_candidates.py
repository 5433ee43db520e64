"""Ops that can be timed by themselves, ours and others', with no layer around them.

Memories stand at equal state bytes with the phase-space pair: two rows of N×N (HML, p = 2; momentum) or one
row of N×2N (Gated DeltaNet, Mamba-2), whose values are twice as wide. "op:hml-p1" is the exception, one row
of N×N: half the state, for what the second row costs. "op:hml-p1-bytes" computes what Gated DeltaNet does.

Others' functions are called as their packages export them, in the layout that they prefer.
"""

import functools
import importlib
import inspect
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from hmlcore.checks import check_choice
from hmlcore.evaluation.op_timing import Candidate, Leaves
from hmlcore.ops import hamiltonian as ours
from hmlcore.ops.backend import Obstacle
from hmlcore.ops.extras import imports_on_cuda


def _first(x: Leaves) -> Leaves:
    """The leaves of one token without the time dimension, in fp32."""
    return {name: t if t.ndim == 1 else t[:, 0].to(torch.float32) for name, t in x.items()}


def _leapfrog(x: Leaves) -> ours.Coefficients:
    return ours.leapfrog(x["log_alpha"], x["log_gamma"], x["beta"], x["h"], x["mu"])


def _delta(x: Leaves) -> ours.Coefficients:
    return ours.delta(x["log_alpha"], x["beta"])


def _hml(name: str, coefficients: Callable[[Leaves], ours.Coefficients], **own) -> Candidate:
    """The Hamiltonian op; the coefficients are computed from the gates in every pass, as its layer does."""

    def apply(x: Leaves) -> Tensor:
        return ours.hamiltonian(x["q"], x["k"], x["v"], coefficients(x))[0]

    def step(x: Leaves, state: Tensor) -> Tensor:
        now = _first(x)
        return ours.hamiltonian_step(now["q"], now["k"], now["v"], coefficients(now), state)[0]

    return Candidate(name, apply=apply, step=step, **own)


@functools.cache
def _transformers(function: str) -> Callable:
    """A torch function of transformers' Qwen3-Next, whatever kernels are installed beside it."""
    module = importlib.import_module("transformers.models.qwen3_next.modeling_qwen3_next")
    return inspect.unwrap(getattr(module, function))


def _transformers_absent(device: torch.device) -> str | None:
    try:
        _transformers("torch_chunk_gated_delta_rule")
        _transformers("torch_recurrent_gated_delta_rule")
    except Exception as error:  # not installed, or another version than the one that has them
        return f"transformers has no torch_chunk_gated_delta_rule here ({error}); pip install hmlcore[test]"
    return None


def _gated_delta(function: Callable, x: Leaves, **state) -> Tensor:
    gates = {"g": x["log_alpha"], "beta": x["beta"]}
    return function(x["q"], x["k"], x["v"], **gates, **state)[0]


def _start(state: Tensor) -> dict:
    """Keywords of a step that others' functions share."""
    return {"initial_state": state.squeeze(2), "output_final_state": True}


@functools.cache
def _fla(op: str, function: str) -> Callable:
    return getattr(importlib.import_module(f"fla.ops.{op}"), function)


def _on_fla(op: str) -> Obstacle:
    return imports_on_cuda(f"fla.ops.{op}", "flash-linear-attention")


def _momentum(function: str, x: Leaves, **state) -> Tensor:
    run = _fla("momentum_delta_rule", function)
    gates = {"log_alpha": x["log_alpha"], "log_mu": x["log_gamma"], "beta": x["beta"], "eta": x["eta"]}
    # Keys are unit already, here as for all others.
    return run(x["q"], x["k"], x["v"], use_qk_l2norm_in_kernel=False, **gates, **state)[0]


def _simple_gla(function: str, x: Leaves, **state) -> Tensor:
    return _fla("simple_gla", function)(x["q"], x["k"], x["v"], g=x["log_alpha"], **state)[0]


def _attend(x: Leaves) -> Tensor:
    if x["q"].device.type == "cuda" and x["q"].dtype == torch.bfloat16:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(x["q"], x["k"], x["v"], is_causal=True)
    return F.scaled_dot_product_attention(x["q"], x["k"], x["v"], is_causal=True)


def _attend_to_cache(x: Leaves, cache: Tensor) -> Tensor:
    keys, values = cache
    keys[:, :, -1:], values[:, :, -1:] = x["k"], x["v"]
    return F.scaled_dot_product_attention(x["q"], keys, values)


_PAIR = ("log_alpha", "log_gamma", "beta", "h", "mu")
_GATED = ("log_alpha", "beta")

CANDIDATES = {
    c.name: c
    for c in (
        _hml("op:hml-p2", _leapfrog, gates=_PAIR, rows=2),
        _hml("op:hml-p1", _delta, gates=_GATED),
        _hml("op:hml-p1-bytes", _delta, gates=_GATED, values=2),
        Candidate(
            "op:gdn-transformers", _GATED, values=2, obstacle=_transformers_absent,
            path="transformers:torch_chunk_gated_delta_rule",
            step_path="transformers:torch_recurrent_gated_delta_rule",
            apply=lambda x: _gated_delta(_transformers("torch_chunk_gated_delta_rule"), x),
            step=lambda x, s: _gated_delta(_transformers("torch_recurrent_gated_delta_rule"), x, **_start(s)),
        ),
        Candidate(
            "op:sdpa", (), _attend, _attend_to_cache, touches=0, path="torch:scaled_dot_product_attention",
            step_path="torch:scaled_dot_product_attention",
        ),
        Candidate(
            "op:gdn-fla", _GATED, values=2, obstacle=_on_fla("gated_delta_rule"),
            path="fla:chunk_gated_delta_rule",
            step_path="fla:fused_recurrent_gated_delta_rule",
            apply=lambda x: _gated_delta(_fla("gated_delta_rule", "chunk_gated_delta_rule"), x),
            step=lambda x, s: _gated_delta(
                _fla("gated_delta_rule", "fused_recurrent_gated_delta_rule"), x, **_start(s)
            ),
        ),
        Candidate(
            "op:momentum-fla", ("log_alpha", "log_gamma", "beta", "eta"), rows=2,
            obstacle=_on_fla("momentum_delta_rule"), path="fla:chunk_momentum_delta_rule",
            step_path="fla:fused_recurrent_momentum_delta_rule",
            apply=lambda x: _momentum("chunk_momentum_delta_rule", x),
            step=lambda x, s: _momentum(
                "fused_recurrent_momentum_delta_rule", x, initial_state=s.movedim(2, 0), output_final_state=True
            ),
        ),
        Candidate(
            "op:ssd-fla", ("log_alpha",), values=2, touches=2, obstacle=_on_fla("simple_gla"),
            path="fla:chunk_simple_gla",
            step_path="fla:fused_recurrent_simple_gla",
            apply=lambda x: _simple_gla("chunk_simple_gla", x),
            step=lambda x, s: _simple_gla("fused_recurrent_simple_gla", x, **_start(s)),
        ),
    )
}  # fmt: skip
"""Every op by name. Equal state bytes: all but "op:hml-p1" and the growing cache of "op:sdpa"."""


def candidate_named(name: str) -> Candidate:
    """The candidate called `name`. Raises: HmlcoreError for an unknown one."""
    return CANDIDATES[check_choice("op candidate", name, CANDIDATES)]
