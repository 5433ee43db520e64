"""AdamW with the usual exemptions from weight decay, and the warm-up–cosine schedule."""

import math

import torch
from torch import nn

from hmlcore.checks import check_number, check_positive
from hmlcore.layers.base import decaying


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups: those that :func:`~hmlcore.layers.base.decaying` names, embeddings and convolution taps among
    them, and all others."""
    weight_decay = check_number("weight_decay", weight_decay, 0)
    shrinks, decay, keep = set(decaying(model)), [], []
    for name, parameter in model.named_parameters():
        (decay if name in shrinks else keep).append(parameter)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": keep, "weight_decay": 0.0}]


def build_optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW, β = (.9, .95), ε = 1e-8."""
    lr = check_positive("lr", lr)
    return torch.optim.AdamW(parameter_groups(model, weight_decay), lr=lr, betas=(0.9, 0.95), eps=1e-8)


def learning_rate(step: int, steps: int, peak: float, warmup: int, floor: float = 0.1) -> float:
    """Rate of step 0 … steps − 1: linear from 0 over `warmup` steps, then a cosine to floor · peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
