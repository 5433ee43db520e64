"""The over-damped limit: one row, the gated delta rule."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from hmlcore.layers.hml.dynamics.base import Addressed
from hmlcore.ops import hamiltonian as ops
from hmlcore.ops.delta_rule import delta_rule, delta_rule_step


class ChannelCoefficients(NamedTuple):
    """Of a memory whose key channels decay by themselves."""

    log_alpha: Tensor  # [B, T, H, N]
    beta: Tensor  # [B, T, H]

    def map(self, function) -> "ChannelCoefficients":
        """The same with `function` applied to each."""
        return ChannelCoefficients(*map(function, self))


class Delta(Addressed):
    """S ← αS, S ← S − β k(kᵀS − vᵀ): what Q + h/2 P of leapfrog does at γ = 0 and h = 1.

    Where α is by channel, S ← diag(α)S.
    """

    rows: ClassVar = 1
    corrects: ClassVar = True
    gates: ClassVar = {"beta": -2.0, "alpha": -4.0}

    def coefficients(self, x, log_alpha, raw):
        beta = raw["beta"].sigmoid()
        kind = ops.delta if log_alpha.ndim == 3 else ChannelCoefficients
        return kind(log_alpha, beta), {"beta": beta, "alpha": log_alpha.exp()}

    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        if not isinstance(c, ChannelCoefficients):
            return super().scan(r, k, v, c, memory, cu_seqlens)
        options = {"output_final_state": True, "cu_seqlens": cu_seqlens}
        o, end = delta_rule(r, k, v, *c, initial_state=memory.squeeze(2), **options)
        return o, end[:, :, None]

    def advance(self, r, k, v, c, memory):
        if not isinstance(c, ChannelCoefficients):
            return super().advance(r, k, v, c, memory)
        o, memory = delta_rule_step(r, k, v, *c, memory.squeeze(2))
        return o, memory[:, :, None]

    def error(self, k, v, c, memory):
        if not isinstance(c, ChannelCoefficients):
            return super().error(k, v, c, memory)
        return torch.einsum("bhn,bhnd->bhd", c.log_alpha.exp() * k, memory[:, :, 0]) - v
