"""An oscillator attached to a token's association, moved by its exact flow."""

import math
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.layers.base import no_decay
from hmlcore.layers.hml.dynamics.base import Dynamics
from hmlcore.ops import oscillator as turned


class Turns(NamedTuple):
    """Of the addressed oscillator, [B, T, H] each."""

    log_alpha: Tensor
    log_rho: Tensor
    theta: Tensor

    def map(self, function) -> "Turns":
        """The same with `function` applied to each."""
        return Turns(*map(function, self))


class Oscillator(Dynamics):
    """One complex row in value pairs, turned about the association by its exact flow ρe^{iθ}; ρ = 1 − β.

    θ begins at 0, where this is the delta rule. With ``theta="head"`` it is one learned angle a head, with
    ``"token"`` it is π·tanh(w·x / 10): the tenth makes its learning rate small under Adam. ``"few"`` confines
    that to the last quarter of the heads, at least one; in the others θ stays 0, the delta rule.
    """

    rows: ClassVar = 1
    pairs: ClassVar = True
    gates: ClassVar = {"beta": -2.0, "alpha": -4.0}

    def add_parameters(self, layer):
        heads = max(1, layer.num_heads // 4) if layer.theta_from == "few" else layer.num_heads
        shape = (heads,) if layer.theta_from == "head" else (heads, layer.d_model)
        layer.theta = no_decay(nn.Parameter(torch.zeros(shape)))

    def coefficients(self, layer, x, log_alpha, raw):
        theta, log_rho = layer.theta.to(x.dtype), F.logsigmoid(-raw["beta"])
        if layer.damping is not None:
            log_rho = torch.full_like(log_rho, math.log(layer.damping))
        if theta.ndim == 2:
            theta = torch.pi * torch.tanh(0.1 * F.linear(x, theta))
            theta = F.pad(theta, (layer.num_heads - theta.shape[-1], 0))
        theta = theta.expand_as(log_rho)
        named = {"beta": -torch.expm1(log_rho), "alpha": log_alpha.exp(), "theta": theta}
        return Turns(log_alpha, log_rho, theta), named

    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        o, end = turned.oscillator(
            r, k, v, *c, initial_state=memory.squeeze(2), output_final_state=True, cu_seqlens=cu_seqlens
        )
        return o, end[:, :, None]

    def advance(self, r, k, v, c, memory):
        o, memory = turned.oscillator_step(r, k, v, *c, memory.squeeze(2))
        return o, memory[:, :, None]

    def error(self, k, v, c, memory):
        return torch.einsum("bh,bhn,bhnd->bhd", c.log_alpha.exp(), k, memory[:, :, 0]) - v
