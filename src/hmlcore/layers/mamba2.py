"""Mamba-2: a matrix memory a head with one decay, the state-space dual of masked linear attention."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_bool, check_int, check_optional, check_positive
from hmlcore.errors import require
from hmlcore.layers.base import conv_weight, uniform
from hmlcore.layers.state_space import StateSpace, step_size_bias
from hmlcore.ops.packing import at_ends
from hmlcore.ops.selective_scan import ssd, ssd_step
from hmlcore.ops.short_conv import short_conv
from hmlcore.ops.turns import cumulative_turns, rotate, spread

MIDDLE_STEP = 0.01
"""The geometric mean of Δ at the start."""


class TurnedState(NamedTuple):
    """A Mamba-2 state whose channels turn: the memory is in the frame that turns along."""

    memory: Tensor  # [B, H, P, N]
    conv: Tensor  # [B, conv_size − 1, E + 2N]
    phase: Tensor  # [B, H, N/2] in fp32, in turns, within half a turn of zero


class Mamba2(StateSpace):
    r"""On E = expand · d_model channels in H = E/P heads, each with a P×N state:

        z, (x, B, C), δ = W x̂;   x, B, C ← SiLU(conv(x, B, C));   Δ = softplus(δ + b)
        S_t = exp(Δ_t A) S_{t−1} + Δ_t x_t B_tᵀ;   y = W_o RMSNorm((S_t C_t + D x_t) ∘ SiLU(z))

    Starts with −A uniform in [1, 16], D = 1 and Δ log-uniform in [.001, .1]. With `rotation` the state is
    complex: pairs of its N channels turn by angles that every token chooses, as those of B and C do instead,

        Φ_t = Φ_{t−1} + Δ_t θ_t,   θ_t = W_θ x̂_t [N/2];   B, C ← e^{−iΦ_t} B, e^{−iΦ_t} C.

    That is one of the three parts of Mamba-3, its data-dependent rotary embedding of all channels. Neither the
    trapezoidal rule nor its many inputs and outputs are here, nor its biases and norms of B and C.

    Args:
        d_model: width of the residual stream.
        d_state: N, published 128. expand: E / d_model.
        head_dim: P, published 64; the greatest common divisor of 64 and E if None.
        conv_size: taps of the causal depthwise convolution on x, B and C.
        rotation: whether channels turn; d_state is then even. θ is the heads' own by their Δ alone.
        rotation_start: turns a token of the fastest pair of channels at the start, the slowest being at .01 and
            the rest in equal ratios between, by constant factors of θ. None, as published: about .002 for all,
            which is Δ times a θ of size 1.
    State: E·N floats, whatever the length, and H·N/2 phases of channels that turn.
    Source: Dao and Gu (arXiv 2405.21060), one group; of the rotation, Lahoti et al. (arXiv 2603.15569).
    """

    name = "mamba2"
    not_hidden = ("conv", "theta_proj")
    scan, advance = staticmethod(ssd), staticmethod(ssd_step)

    def __init__(
        self,
        d_model: int,
        d_state: int = 128,
        head_dim: int | None = None,
        expand: int = 2,
        conv_size: int = 4,
        rotation: bool = False,
        rotation_start: float | None = None,
    ):
        super().__init__(d_model)
        d_model = self.d_model
        d_state, inner = check_int("d_state", d_state), check_int("expand", expand) * d_model
        self.head_dim = math.gcd(64, inner) if head_dim is None else check_int("head_dim", head_dim)
        require(
            inner % self.head_dim == 0,
            f"head_dim must divide expand · d_model = {inner}, got {head_dim}",
        )
        rotation = check_bool("rotation", rotation)
        require(d_state % 2 == 0 or not rotation, f"d_state must be even with rotation=True, got {d_state}")
        self.d_state, self.inner, self.num_heads = d_state, inner, inner // self.head_dim
        self.memory_shape = (self.num_heads, self.head_dim, d_state)
        mixed = inner + 2 * d_state
        self.in_proj = nn.Linear(d_model, inner + mixed + self.num_heads, bias=False)
        self.conv = conv_weight(mixed, conv_size)
        self.conv_bias = uniform(mixed, fan_in=self.conv.shape[1])
        self.dt_bias = step_size_bias(self.num_heads)
        self.log_a = nn.Parameter(torch.empty(self.num_heads).uniform_(1, 16).log())
        self.skip = nn.Parameter(torch.ones(self.num_heads))
        self.norm = nn.RMSNorm(inner, eps=1e-5)
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        self.theta_proj = nn.Linear(d_model, d_state // 2, bias=False) if rotation else None
        fastest = check_optional("rotation_start", rotation_start, check_positive)
        require(rotation or fastest is None, f"rotation_start = {rotation_start} needs rotation=True")
        turns = spread(d_state // 2, fastest=fastest) if fastest else None
        self.faster = None if turns is None else [2 * math.pi * scale / MIDDLE_STEP for scale in turns]

    def init_state(self, batch, device=None, dtype=None):
        state = super().init_state(batch, device, dtype)
        if self.theta_proj is None:
            return state
        phase = torch.zeros(batch, self.num_heads, self.d_state // 2, device=device, dtype=state.memory.dtype)
        return TurnedState(*state, phase)

    def _project(self, x: Tensor, conv: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        width = self.conv.shape[0]
        z, mixed, delta = self.in_proj(x).split((self.inner, width, self.num_heads), -1)
        mixed, conv = short_conv(mixed, self.conv, conv)
        mixed = F.silu(mixed + self.conv_bias)
        u, b, c = mixed.split((self.inner, self.d_state, self.d_state), -1)
        wide = torch.promote_types(x.dtype, torch.float32)
        dt = F.softplus(delta.to(wide) + self.dt_bias)
        return (u.unflatten(-1, (-1, self.head_dim)), dt, -self.log_a.to(wide).exp(), b, c), z, conv

    def _turn(self, x, arguments, state):
        if self.theta_proj is None:
            return arguments, {}
        *rest, b, c = arguments
        # Phases add up over the sequence, so autocast has no part in them.
        with torch.autocast(x.device.type, enabled=False):
            dt = rest[1]
            theta = F.linear(x.to(dt.dtype), self.theta_proj.weight.to(dt.dtype))
            if self.faster is not None:
                theta = theta * theta.new_tensor(self.faster)
            turns = dt[..., None] * theta[:, :, None] / (2 * math.pi)
            phase = cumulative_turns(turns, state.phase.to(dt.dtype))
            pairs = (y[:, :, None].to(dt.dtype).unflatten(-1, (-1, 2)) for y in (b, c))
            b, c = (rotate(y, -phase).flatten(-2).to(x.dtype) for y in pairs)
        return (*rest, b, c), {"phase": at_ends(phase)}

    def _read_out(self, y: Tensor, u: Tensor, z: Tensor) -> Tensor:
        y = (y + self.skip[:, None] * u).flatten(-2)
        return self.out_proj(self.norm(y * F.silu(z)))
