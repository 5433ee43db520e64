"""Retention: a matrix memory that decays at one fixed rate a head, in three equal forms."""

import math

import torch
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.ops import backend
from hmlcore.ops.finite import confined
from hmlcore.ops.matrix_memory import memory_error
from hmlcore.ops.retention.fla import FLA, fla_retention
from hmlcore.ops.retention.naive import naive_retention, retention_step
from hmlcore.ops.retention.parallel import chunk_retention, parallel_retention
from hmlcore.ops.self_check import seeded

__all__ = [
    "chunk_retention", "fla_retention", "multi_scale", "naive_retention", "parallel_retention", "random_inputs",
    "retention", "retention_step",
]  # fmt: skip


def multi_scale(num_heads: int) -> list[float]:
    """log γ_i with γ_i = 1 − 2^(−5−i) for head i = 0 … num_heads − 1: each head remembers twice as long.

    Source: Sun et al. (arXiv 2307.08621), multi-scale retention.
    """
    return [math.log1p(-(2.0 ** (-5 - i))) for i in range(check_int("num_heads", num_heads))]


def retention(q: Tensor, k: Tensor, v: Tensor, log_gamma: Tensor, **options):
    """The op through whichever form suits the tensors' device; arguments as ``naive_retention``."""
    given = (q, k, v, log_gamma, options.get("initial_state"))
    form = backend.choose("retention", k.device, given=given).form

    def run(x: dict) -> tuple[Tensor, Tensor | None]:
        return form.function(q, *x.values(), log_gamma, **options)

    return confined(run, q, {"k": k, "v": v}, options.get("cu_seqlens"))


@seeded
def random_inputs(normal, batch: int, length: int, heads: int, n: int, d: int) -> dict[str, Tensor]:
    """Normal queries, keys and values and the paper's decays, by argument name."""
    return {
        "q": normal(batch, length, heads, n),
        "k": normal(batch, length, heads, n) * n**-0.5,
        "v": normal(batch, length, heads, d),
        "log_gamma": torch.tensor(multi_scale(heads), dtype=torch.float64),
        "initial_state": normal(batch, heads, n, d),
    }


backend.register(
    "retention",
    [
        FLA,
        backend.Form("chunk", chunk_retention, backend.anywhere, "chunkwise torch, any device"),
        backend.Form("parallel", parallel_retention, backend.anywhere, "all tokens at once, T² work"),
        backend.Form("naive", naive_retention, backend.anywhere, "one token at a time, the law"),
    ],
    lambda form, naive, device: memory_error(form, naive, random_inputs(2, 77, 2, 8, 8, device=device)),
)
