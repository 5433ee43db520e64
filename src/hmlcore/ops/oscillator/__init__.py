"""The addressed oscillator: a complex matrix memory that turns what a key addresses about a value."""

import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.finite import Ended, confined
from hmlcore.ops.matrix_memory import memory_error
from hmlcore.ops.oscillator.chunk import chunk_oscillator
from hmlcore.ops.oscillator.naive import (
    as_complex,
    as_real,
    multiply_pairs,
    naive_oscillator,
    oscillator_step,
    write_strength,
)
from hmlcore.ops.self_check import seeded

__all__ = [
    "as_complex", "as_real", "chunk_oscillator", "multiply_pairs", "naive_oscillator", "oscillator",
    "oscillator_step", "random_inputs", "write_strength",
]  # fmt: skip


def oscillator(
    q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, log_rho: Tensor, theta: Tensor, **options
) -> tuple[Tensor, Ended]:
    """The op through whichever form suits the tensors' device; arguments as ``naive_oscillator``."""
    form = backend.choose("oscillator", k.device).form
    tokens = {"k": k, "v": v, "log_alpha": log_alpha, "log_rho": log_rho, "theta": theta}
    return confined(lambda x: form.function(q, *x.values(), **options), q, tokens, options.get("cu_seqlens"))


@seeded
def random_inputs(normal, batch: int, length: int, heads: int, n: int, d: int) -> dict[str, Tensor]:
    """Plausible gates, angles all around the circle and unit keys, by argument name."""
    gate = (batch, length, heads)
    return {
        "q": F.normalize(normal(*gate, n), dim=-1),
        "k": F.normalize(normal(*gate, n), dim=-1),
        "v": normal(*gate, d),
        "log_alpha": F.logsigmoid(normal(*gate) + 4),
        "log_rho": F.logsigmoid(normal(*gate)),
        "theta": 2 * normal(*gate),
        "initial_state": normal(batch, heads, n, d),
    }


backend.register(
    "oscillator",
    [
        backend.Form("chunk", chunk_oscillator, backend.anywhere, "chunkwise-parallel torch, any device"),
        backend.Form("naive", naive_oscillator, backend.anywhere, "one token at a time, the law"),
    ],
    lambda form, naive, device: memory_error(form, naive, random_inputs(2, 37, 2, 8, 8, device=device)),
)
