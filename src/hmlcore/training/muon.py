"""Muon: momentum whose every direction is given the same length, in single precision."""

import math

import torch
from torch import Tensor

from hmlcore.training.sharding import placed, whole

MOMENTUM = 0.95
STEPS = 5
# The quintic that lifts small singular values fastest without letting large ones escape; Jordan et al.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly UVᵀ of [A, B] = UΣVᵀ, singular values within .7 and 1.2, by five Newton–Schulz steps in fp32.

    X ← aX + (bG + cG²)X with G = XXᵀ, from X = matrix / ‖matrix‖. ``torch.optim.Muon`` takes these steps in
    bf16: its rounding, lifted like every small singular value, moves a weight by a hundredth of what training
    moves it in five steps, and no run would be made again within less than that, by two processes or on
    another machine. In fp32 it is a hundred thousandth, and small matrices are no slower on a CPU.
    """
    a, b, c = QUINTIC
    x = matrix.float()
    wide = x if x.shape[0] <= x.shape[1] else x.T
    wide = wide / wide.norm().clamp(min=1e-30)
    for _ in range(STEPS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if x.shape[0] <= x.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """M ← .95 M + .05 G;   W ← (1 − ηλ) W − η √max(1, A/B) · UVᵀ(.05 G + .95 M), for matrices W [A, B].

    Args: lr η, weight_decay λ. Parameters that several processes hold in parts are put together for UVᵀ, which
        every process computes; each takes its own part of it.
    Source: Jordan et al., Muon: an optimizer for hidden layers in neural networks (2024).
    """

    def __init__(self, params, lr: float, weight_decay: float):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._move(p, p.grad, group["lr"], group["weight_decay"])

    def _move(self, p: Tensor, grad: Tensor, lr: float, weight_decay: float) -> None:
        if "momentum_buffer" not in self.state[p]:
            self.state[p]["momentum_buffer"] = torch.zeros_like(grad)
        momentum = self.state[p]["momentum_buffer"].lerp_(grad, 1 - MOMENTUM)
        ahead = whole(grad.lerp(momentum, MOMENTUM))
        length = lr * math.sqrt(max(1.0, ahead.shape[0] / ahead.shape[1]))
        p.mul_(1 - lr * weight_decay)
        p.sub_(placed(length * orthogonal(ahead), p).to(p.dtype))
