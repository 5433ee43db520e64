"""The gated delta rule: a matrix memory that forgets, then corrects what a key recalls."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.delta_rule.chunk import chunk_delta_rule
from hmlcore.ops.delta_rule.fla import FLA, fla_delta_rule
from hmlcore.ops.delta_rule.naive import delta_rule_step, naive_delta_rule
from hmlcore.ops.finite import confined
from hmlcore.ops.matrix_memory import memory_error
from hmlcore.ops.self_check import seeded

__all__ = [
    "chunk_delta_rule", "delta_rule", "delta_rule_step", "fla_delta_rule", "naive_delta_rule", "random_inputs",
]  # fmt: skip


def delta_rule(q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, beta: Tensor, **options):
    """The op through whichever form suits the tensors' device; arguments as ``naive_delta_rule``."""
    given = (q, k, v, log_alpha, beta, options.get("initial_state"))
    form = backend.choose("delta_rule", k.device, given=given).form
    tokens = {"k": k, "v": v, "log_alpha": log_alpha, "beta": beta}
    return confined(lambda x: form.function(q, *x.values(), **options), q, tokens, options.get("cu_seqlens"))


@seeded
def random_inputs(normal, batch: int, length: int, heads: int, n: int, d: int) -> dict[str, Tensor]:
    """Plausible gates and unit keys, for checks and benchmarks, by argument name."""
    gate = (batch, length, heads)
    return {
        "q": F.normalize(normal(*gate, n), dim=-1),
        "k": F.normalize(normal(*gate, n), dim=-1),
        "v": normal(*gate, d),
        "log_alpha": F.logsigmoid(normal(*gate) + 4),
        "beta": torch.sigmoid(normal(*gate)),
        "initial_state": normal(batch, heads, n, d),
    }


backend.register(
    "delta_rule",
    [
        FLA,
        backend.Form("chunk", chunk_delta_rule, backend.anywhere, "chunkwise-parallel torch, any device"),
        backend.Form("naive", naive_delta_rule, backend.anywhere, "one token at a time, the law"),
    ],
    lambda form, naive, device: memory_error(form, naive, random_inputs(2, 37, 2, 8, 8, device=device)),
)
