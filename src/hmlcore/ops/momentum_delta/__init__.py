"""The momentum delta rule: a matrix memory that descends its recall error with momentum."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.ops import backend
from hmlcore.ops.finite import confined
from hmlcore.ops.matrix_memory import memory_error
from hmlcore.ops.momentum_delta.chunk import chunk_momentum_delta
from hmlcore.ops.momentum_delta.naive import momentum_delta_step, naive_momentum_delta
from hmlcore.ops.self_check import seeded

__all__ = [
    "chunk_momentum_delta", "momentum_delta", "momentum_delta_step", "naive_momentum_delta", "random_inputs",
]  # fmt: skip


def momentum_delta(
    q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, log_mu: Tensor, beta: Tensor, eta: Tensor,
    p: Tensor | None = None, **options,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """The op through whichever form suits the tensors' device; arguments as ``naive_momentum_delta``."""
    form = backend.choose("momentum_delta", k.device).form
    tokens = {"k": k, "v": v, "log_alpha": log_alpha, "log_mu": log_mu, "beta": beta, "eta": eta, "p": p}
    return confined(lambda x: form.function(q, *x.values(), **options), q, tokens, options.get("cu_seqlens"))


@seeded
def random_inputs(normal, batch: int, length: int, heads: int, n: int, d: int) -> dict[str, Tensor]:
    """Gates within MDN's bounds (β ≤ 1 − α, μ > 1/e) and unit keys, for checks and benchmarks, by name."""
    gate = (batch, length, heads)
    bound = torch.sigmoid(normal(*gate) - 2)
    return {
        "q": F.normalize(normal(*gate, n), dim=-1),
        "k": F.normalize(normal(*gate, n), dim=-1),
        "v": normal(*gate, d),
        "log_alpha": torch.log1p(-bound) + 0.1 * F.logsigmoid(normal(*gate)),
        "log_mu": -torch.sigmoid(normal(*gate) - 1),
        "beta": bound * torch.sigmoid(normal(*gate)),
        "eta": 1 + torch.tanh(normal(*gate)),
        "p": F.normalize(normal(*gate, n), dim=-1),
        "initial_state": normal(batch, heads, 2, n, d),
    }


backend.register(
    "momentum_delta",
    [  # no form of flash-linear-attention: up to its 0.6 this rule is computed in plain torch there, too
        backend.Form("chunk", chunk_momentum_delta, backend.anywhere, "chunkwise-parallel torch, any device"),
        backend.Form("naive", naive_momentum_delta, backend.anywhere, "one token at a time, the law"),
    ],
    lambda form, naive, device: memory_error(form, naive, random_inputs(2, 37, 2, 8, 8, device=device)),
)
