"""Mamba: a selective state space, whose step size, write and read vectors depend on the token."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_int
from hmlcore.layers.base import conv_weight, uniform
from hmlcore.layers.state_space import StateSpace, step_size_bias
from hmlcore.ops.selective_scan import selective_scan, selective_scan_step
from hmlcore.ops.short_conv import short_conv


class Mamba(StateSpace):
    r"""On E = expand · d_model channels, each with a state of N = d_state numbers:

        x, z = W x̂;  u = SiLU(conv(x));  B, C, δ = W′u;  Δ = softplus(W″δ + b)
        h_t = exp(Δ_t A) ∘ h_{t−1} + Δ_t u_t B_t;   y = W_o((C_tᵀh_t + D u_t) ∘ SiLU(z))

    Starts with A_n = −n, D = 1 and Δ log-uniform in [.001, .1].

    Args:
        d_model: width of the residual stream.
        d_state: N. expand: E / d_model. dt_rank: width of δ, ⌈d_model/16⌉ if None.
        conv_size: taps of the causal depthwise convolution on x.
    State: E·N floats, whatever the length. Source: Gu and Dao (arXiv 2312.00752).
    """

    name = "mamba"
    scan, advance = staticmethod(selective_scan), staticmethod(selective_scan_step)

    def __init__(
        self, d_model: int, d_state: int = 16, expand: int = 2, dt_rank: int | None = None, conv_size: int = 4
    ):
        super().__init__(d_model)
        d_model = self.d_model
        d_state, expand = check_int("d_state", d_state), check_int("expand", expand)
        rank = -(-d_model // 16) if dt_rank is None else check_int("dt_rank", dt_rank)
        self.d_state, self.inner, self.dt_rank = d_state, expand * d_model, rank
        self.memory_shape = (self.inner, d_state)
        self.in_proj = nn.Linear(d_model, 2 * self.inner, bias=False)
        self.conv = conv_weight(self.inner, conv_size)
        self.conv_bias = uniform(self.inner, fan_in=self.conv.shape[1])
        self.x_proj = nn.Linear(self.inner, rank + 2 * d_state, bias=False)
        # A parameter, not a Linear, whose weights a model would draw anew: Δ must start as published.
        self.dt_weight = uniform(self.inner, rank, fan_in=rank)
        self.dt_bias = step_size_bias(self.inner)
        self.log_a = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(self.inner, 1))
        self.skip = nn.Parameter(torch.ones(self.inner))
        self.out_proj = nn.Linear(self.inner, d_model, bias=False)

    def _project(self, x: Tensor, conv: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        u, z = self.in_proj(x).chunk(2, -1)
        u, conv = short_conv(u, self.conv, conv)
        u = F.silu(u + self.conv_bias)
        delta, b, c = self.x_proj(u).split((self.dt_rank, self.d_state, self.d_state), -1)
        with torch.autocast(x.device.type, enabled=False):
            wide = torch.promote_types(u.dtype, torch.float32)
            dt = F.softplus(F.linear(delta.to(wide), self.dt_weight.to(wide), self.dt_bias.to(wide)))
            return (u, dt, -self.log_a.to(wide).exp(), b, c), z, conv

    def _read_out(self, y: Tensor, u: Tensor, z: Tensor) -> Tensor:
        return self.out_proj((y + self.skip * u) * F.silu(z))
