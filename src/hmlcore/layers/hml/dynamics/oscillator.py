"""An oscillator attached to a token's association, moved by its exact flow."""

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_choice
from hmlcore.layers.corrections import each_token
from hmlcore.layers.hml.dynamics.base import Dynamics, check_damping, damped
from hmlcore.ops import oscillator as ops
from hmlcore.ops.delta_rule import delta_rule
from hmlcore.ops.hamiltonian import delta, hamiltonian

THETA = ("head", "token", "few")


def in_one(log_alpha: Tensor) -> bool:
    """Whether heads that turn and heads that stay are one memory: on a CPU, where copies of some heads cost
    more than complex numbers for all. Elsewhere a real memory has kernels."""
    return log_alpha.device.type == "cpu" and log_alpha.ndim == 3


class OscillatorCoefficients(NamedTuple):
    """[B, T, H] each; log α by channel [B, T, H, N]."""

    log_alpha: Tensor
    log_rho: Tensor
    theta: Tensor

    def map(self, function) -> "OscillatorCoefficients":
        """The same with `function` applied to each."""
        return OscillatorCoefficients(*map(function, self))


class Oscillator(Dynamics):
    """One complex row in value pairs: S ← αS, S ← S − (1 − ρe^{iθ}) k(kᵀS − vᵀ), ρ = 1 − β.

    θ begins at 0, where this is the delta rule.

    Args:
        theta: where θ comes from: one learned angle for each "head"; from each "token", π·tanh(w·x / 10),
            whose tenth makes its learning rate small under Adam; or from each token in a "few" heads, the
            last quarter, at least one, while the others keep θ = 0, the delta rule.
        damping: None, each token chooses ρ; a number in (0, 1], it is ρ of every token, and nothing else
            decays: α = 1. 1 is undamped.
    """

    rows: ClassVar = 1
    pairs: ClassVar = True
    corrects: ClassVar = True
    no_decay: ClassVar = ("theta",)
    gates: ClassVar = {"beta": -2.0, "alpha": -4.0}

    def __init__(
        self, d_model: int, num_heads: int, head_dim: int, *, theta: str = "few", damping: float | None = None
    ):
        super().__init__(d_model, num_heads, head_dim)
        theta = check_choice("theta", theta, THETA)
        self.damping = check_damping(damping)
        heads = max(1, num_heads // 4) if theta == "few" else num_heads
        self.still = num_heads - heads  # the first heads, whose θ is 0
        shape = (heads,) if theta == "head" else (heads, d_model)
        self.theta = nn.Parameter(torch.zeros(shape))

    def coefficients(self, x, log_alpha, raw):
        theta = self.theta.to(x.dtype)
        log_alpha, log_rho = damped(self.damping, log_alpha, F.logsigmoid(-raw["beta"]))
        if theta.ndim == 2:
            theta = torch.pi * torch.tanh(0.1 * F.linear(x, theta))
            theta = F.pad(theta, (self.still, 0))
            theta = each_token(theta, log_rho.shape[1] // x.shape[1])  # a token's corrections share its angle
        theta = theta.expand_as(log_rho)
        named = {"beta": -torch.expm1(log_rho), "alpha": log_alpha.exp(), "theta": theta}
        return OscillatorCoefficients(log_alpha, log_rho, theta), named

    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        options = {"output_final_state": True, "cu_seqlens": cu_seqlens}
        if not self.still or in_one(c.log_alpha):
            o, end = ops.oscillator(r, k, v, *c, initial_state=memory.squeeze(2), **options)
            return o, end[:, :, None]
        split = (self.still, self.num_heads - self.still)
        still, moving = zip(*(x.split(split, 2) for x in (r, k, v, *c)), strict=True)
        first, start = memory.split(split, 1)
        o, end = ops.oscillator(*moving, initial_state=start.squeeze(2), **options)
        r, k, v, log_alpha, log_rho, _ = still
        beta = -torch.expm1(log_rho)
        if log_alpha.ndim == 4:
            other, before = delta_rule(r, k, v, log_alpha, beta, initial_state=first.squeeze(2), **options)
            before = before[:, :, None]
        else:
            other, before = hamiltonian(r, k, v, delta(log_alpha, beta), initial_state=first, **options)
        return torch.cat((other, o), 2), torch.cat((before, end[:, :, None]), 1)

    def advance(self, r, k, v, c, memory):
        o, memory = ops.oscillator_step(r, k, v, *c, memory.squeeze(2))
        return o, memory[:, :, None]

    def error(self, k, v, c, memory):
        alpha = c.log_alpha.exp()
        if alpha.ndim == 3:
            return torch.einsum("bhn,bhnd->bhd", alpha * k, memory[:, :, 0]) - v
        return torch.einsum("bh,bhn,bhnd->bhd", alpha, k, memory[:, :, 0]) - v
