"""Mamba: a selective state space, whose step size, write and read vectors depend on the token."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.errors import require
from hmlcore.layers.base import Mixer, conv_weight, no_decay
from hmlcore.ops.selective_scan import selective_scan, selective_scan_step
from hmlcore.ops.short_conv import short_conv

STEP_SIZES = (1e-3, 1e-1)  # Δ at the start, log-uniform between these


def step_size_bias(count: int) -> nn.Parameter:
    """[count] biases b with softplus(b) log-uniform in :data:`STEP_SIZES`."""
    low, high = STEP_SIZES
    dt = torch.exp(torch.rand(count) * math.log(high / low) + math.log(low))
    return no_decay(nn.Parameter(dt + torch.log(-torch.expm1(-dt))))


class MambaState(NamedTuple):
    """The channels' states h [B, E, N] in fp32, and the short convolution's inputs [B, conv_size − 1, E]."""

    memory: Tensor
    conv: Tensor


class Mamba(Mixer):
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

    def __init__(
        self, d_model: int, d_state: int = 16, expand: int = 2, dt_rank: int | None = None, conv_size: int = 4
    ):
        super().__init__(d_model)
        rank = -(-d_model // 16) if dt_rank is None else dt_rank
        for name, value in (("d_state", d_state), ("expand", expand), ("dt_rank", rank)):
            require(value >= 1, f"{name} must be at least 1, got {value}")
        self.d_state, self.inner, self.dt_rank = d_state, expand * d_model, rank
        self.in_proj = nn.Linear(d_model, 2 * self.inner, bias=False)
        self.conv = conv_weight(self.inner, conv_size)
        self.conv_bias = nn.Parameter(torch.empty(self.inner).uniform_(-(conv_size**-0.5), conv_size**-0.5))
        self.x_proj = nn.Linear(self.inner, rank + 2 * d_state, bias=False)
        # A parameter, not a Linear, whose weights a model would draw anew: Δ must start as published.
        self.dt_weight = nn.Parameter(torch.empty(self.inner, rank).uniform_(-(rank**-0.5), rank**-0.5))
        self.dt_bias = step_size_bias(self.inner)
        self.log_a = no_decay(nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(self.inner, 1)))
        self.skip = no_decay(nn.Parameter(torch.ones(self.inner)))
        self.out_proj = nn.Linear(self.inner, d_model, bias=False)

    def _project(self, x: Tensor, conv: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """The scan's arguments u, Δ, A, B, C, the gate z, and the convolution's new state."""
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

    def forward(self, x: Tensor, state: MambaState | None = None) -> tuple[Tensor, MambaState]:
        self._check_input(x)
        if state is None:
            state = self.init_state(x.shape[0], x.device, x.dtype)
        arguments, z, conv = self._project(x, state.conv)
        y, memory = selective_scan(*arguments, state.memory)
        return self._read_out(y, arguments[0], z), MambaState(memory, conv)

    def step(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        self._check_input(x, 2)
        (u, dt, a, b, c), z, conv = self._project(x[:, None], state.conv)
        wide = state.memory.dtype
        now = (y[:, 0].to(wide) for y in (u, dt))
        y, memory = selective_scan_step(*now, a, *(y[:, 0].to(wide) for y in (b, c)), state.memory)
        return self._read_out(y.to(u.dtype), u[:, 0], z[:, 0]), MambaState(memory, conv)

    def init_state(self, batch, device=None, dtype=None) -> MambaState:
        wide = torch.promote_types(dtype or self.in_proj.weight.dtype, torch.float32)
        memory = torch.zeros(batch, self.inner, self.d_state, device=device, dtype=wide)
        taps = torch.zeros(batch, self.conv.shape[1] - 1, self.inner, device=device, dtype=dtype)
        return MambaState(memory, taps)

    def state_size(self, length: int) -> int:
        return self.inner * self.d_state + (self.conv.shape[1] - 1) * self.inner

    def flops_per_token(self, length: int) -> float:
        maps = (self.in_proj.weight, self.conv, self.x_proj.weight, self.dt_weight, self.out_proj.weight)
        # Decay, write and read touch every entry of the state once each.
        return 2 * (sum(m.numel() for m in maps) + 3 * self.inner * self.d_state)

    @property
    def output_projections(self) -> list[nn.Linear]:
        return [self.out_proj]
