"""What a memory may be trained for beside its task: to give back what was written some tokens before."""

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.precision import normalize

TEMPERATURE = 0.1
MOST = 64
"""Positions of a sequence that are asked for, and told apart, at most."""


def lagged(lag: int, length: int, generator: torch.Generator) -> int:
    """τ: 0 where `lag` is 0, else 1 … `lag`, all alike.

    Raises: HmlcoreError for a lag beyond the window of `length` tokens.
    """
    require(lag < length, f"lag must be within the window of T = {length} tokens, got {lag}")
    return int(torch.randint(1, lag + 1, (), generator=generator)) if lag else 0


def recall_loss(read: Tensor, wanted: Tensor, generator: torch.Generator) -> Tensor:
    """InfoNCE: −log of the share that the right value has among those of its sequence, by cosine, mean in nats.

    Equal values are no rivals. Gradients flow to what was read, not to what is wanted.
    Args: read, wanted [B, T, r].
    """
    count = read.shape[1]
    if count > MOST:
        chosen = torch.randperm(count, generator=generator)[:MOST].to(read.device)
        read, wanted = read[:, chosen], wanted[:, chosen]
    wanted = normalize(wanted.detach())
    logits = normalize(read) @ wanted.mT / TEMPERATURE
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=read.device)
    logits = logits.masked_fill((wanted @ wanted.mT > 1 - 1e-4) & ~own, -torch.inf)
    return -logits.log_softmax(-1).diagonal(dim1=-2, dim2=-1).mean()
