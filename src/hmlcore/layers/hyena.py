"""Hyena: gates around convolutions as long as the sequence, whose filters a small network draws."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_int, check_number
from hmlcore.errors import require
from hmlcore.layers.base import Mixer, conv_weight, uniform
from hmlcore.ops.long_conv import long_conv
from hmlcore.ops.precision import without_autocast
from hmlcore.ops.short_conv import short_conv

# Published modulation: the filters fall to 1 % within these fractions of the filter length.
FAST_DECAY, SLOW_DECAY, TARGET = 0.3, 1.5, 1e-2


class HyenaFilter(nn.Module):
    r"""The implicit filters: a sine network of the position under an exponential window,

        h_i = window_i ∘ W₄ sin(ω ∘ (W₃ sin(ω ∘ (W₂ sin(ω ∘ (W₁ e_i + b₁)) + b₂)) + b₃))
        e_i = (t_i, cos f_k w_i, −sin f_k w_i), t_i = i/(L−1), w_i = 2πi/L, f_k from 1e-4 to K − 1 in K steps
        window_i = exp(−t_i |δ|), δ from log(.01)/1.5 (first channel) to log(.01)/.3 (last)

    A filter is defined for all i ≥ 0; L only sets the unit of time. Kept out of weight decay.

    Args: channels, filters; width of the network; features, 2K + 1; length L; frequency, ω at the start.
    """

    no_decay = ("frequency", "weights", "biases")

    def __init__(self, channels: int, width: int, features: int, length: int, frequency: float):
        super().__init__()
        width = check_int("filter_width", width)
        features = check_int("filter_features", features)
        require(
            features >= 3 and features % 2 == 1,
            f"filter_features must be odd and at least 3 (time, cosines, sines), got {features}",
        )
        length = check_int("filter_length", length, 2)
        frequency = check_number("filter_frequency", frequency)
        self.channels, self.features, self.length = channels, features, length
        self.frequency = nn.Parameter(torch.full((width,), float(frequency)))
        sizes = ((width, features), (width, width), (width, width), (channels, width))
        # Parameters, not Linear, whose weights a model would draw anew: ω is fitted to this start.
        self.weights = nn.ParameterList(uniform(rows, fan_in, fan_in=fan_in) for rows, fan_in in sizes)
        self.biases = nn.ParameterList(uniform(rows, fan_in=fan_in) for rows, fan_in in sizes[:-1])
        self._kept: tuple[Tensor, Tensor] | None = None

    @without_autocast
    def _draw(self, position: Tensor) -> Tensor:
        """The filters [..., channels] at float positions [...]."""
        t, w = position / (self.length - 1), 2 * math.pi * position / self.length
        bands = (self.features - 1) // 2
        f = torch.linspace(1e-4, bands - 1, bands, device=position.device, dtype=position.dtype)
        angle = f * w[..., None]
        h = torch.cat((t[..., None], angle.cos(), -angle.sin()), -1)
        omega = self.frequency.to(h.dtype)
        *hidden, last = self.weights  # not a slice, which would make new parameters
        for weight, bias in zip(hidden, self.biases, strict=True):
            h = torch.sin(omega * F.linear(h, weight.to(h.dtype), bias.to(h.dtype)))
        slow, fast = math.log(TARGET) / SLOW_DECAY, math.log(TARGET) / FAST_DECAY
        delta = torch.linspace(slow, fast, self.channels, device=position.device, dtype=position.dtype)
        return F.linear(h, last.to(h.dtype)) * torch.exp(-t[..., None] * delta.abs())

    def forward(self, count: int) -> Tensor:
        """The first `count` values [≥ count, channels], fp32 at least.

        Without gradients they are kept beside a copy of the weights that they come from, so that decoding draws
        each once, and drawn anew where the weights differ: nothing cheaper sees every change. Nothing is kept
        where values cannot be looked at.
        """
        own = list(self.parameters())
        known = all(type(p) is nn.Parameter and not p.is_meta for p in own)  # not what torch.func puts there
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or not known:
            return self._first(count)
        weights = torch.cat([p.flatten() for p in own])
        if self._kept is None or len(self._kept[1]) < count or not _same(weights, self._kept[0]):
            self._kept = weights, self._first(1 << (count - 1).bit_length())
        return self._kept[1]

    def _first(self, count: int) -> Tensor:
        weight = self.weights[0]
        wide = torch.promote_types(weight.dtype, torch.float32)
        return self._draw(torch.arange(count, device=weight.device, dtype=wide))


def _same(a: Tensor, b: Tensor) -> bool:
    return (a.dtype, a.device) == (b.dtype, b.device) and torch.equal(a, b)


class HyenaState(NamedTuple):
    """All inputs of the long convolutions so far, and the short convolution's inputs."""

    history: Tensor  # [B, order − 1, t, d_model]
    conv: Tensor  # [B, conv_size − 1, (order + 1)·d_model]


class Hyena(Mixer):
    r"""Of order N: with x⁰, …, x^{N−1}, v = conv(W x + b), for n = N − 1, …, 1

        v ← h_n * (xⁿ ∘ v) + d_n ∘ xⁿ ∘ v,        y = W_o(x⁰ ∘ v) + b_o

    with filters h as long as the sequence (:class:`HyenaFilter`). The filters do not depend on the
    tokens, and no recurrence of bounded size computes them: the state is the whole history of inputs,
    (N − 1)·d_model floats a token, and a decoding step is a sum over it, O(T). There is no O(1) step.

    Args:
        d_model: width of the residual stream.
        order: N, gates; N − 1 long convolutions.
        filter_width, filter_features, filter_frequency: of the sine network; as the authors have them
            for recall at width 64 (their language models: 64, 33 and 14).
        filter_length: L, positions over which the features run through their period and the window
            decays; the length one trains on. Longer sequences continue the same formulas.
        conv_size: taps of the causal depthwise convolution on the projections.
    Source: Poli et al. (arXiv 2302.10866), as in the authors' code (order 2 has one long convolution).
    """

    name = "hyena"
    no_decay = ("skip",)

    def __init__(
        self,
        d_model: int,
        order: int = 2,
        filter_width: int = 64,
        filter_features: int = 5,
        filter_frequency: float = 10.0,
        filter_length: int = 1024,
        conv_size: int = 4,
    ):
        super().__init__(d_model)
        d_model = self.d_model
        order = self.order = check_int("order", order, 2)
        width = (order + 1) * d_model
        self.in_proj = nn.Linear(d_model, width)
        self.conv = conv_weight(width, conv_size)
        self.conv_bias = uniform(width, fan_in=self.conv.shape[1])
        channels = (order - 1) * d_model
        self.filter = HyenaFilter(channels, filter_width, filter_features, filter_length, filter_frequency)
        self.skip = nn.Parameter(torch.randn(channels))
        self.out_proj = nn.Linear(d_model, d_model)

    def filters(self, count: int) -> Tensor:
        """h_n at positions 0 … count − 1 (or more): [order − 1, ≥ count, d_model]."""
        return self.filter(count).unflatten(-1, (self.d_model, -1)).movedim(-1, 0)

    def forward(self, x: Tensor, state: HyenaState | None = None) -> tuple[Tensor, HyenaState]:
        state = self._begin(x, state)
        mixed, conv = short_conv(self.in_proj(x), self.conv, state.conv)
        *gates, v = (mixed + self.conv_bias).chunk(self.order + 1, -1)
        skips = self.skip.unflatten(0, (self.d_model, -1)).T
        filters = self.filters(state.history.shape[2] + x.shape[1])
        history = []
        for n, gate in enumerate(reversed(gates[1:])):
            v = v * gate
            y, inputs = long_conv(v, filters[n], state.history[:, n])
            history.append(inputs)
            v = y + skips[n] * v
        return self.out_proj(v * gates[0]), HyenaState(torch.stack(history, 1), conv)

    def init_state(self, batch, device=None, dtype=None) -> HyenaState:
        wide = torch.promote_types(dtype or self.in_proj.weight.dtype, torch.float32)
        empty = torch.zeros(batch, self.order - 1, 0, self.d_model, device=device, dtype=wide)
        return HyenaState(empty, self._empty_conv(batch, device, dtype))

    def state_size(self, length: int) -> int:
        return super().state_size(length) + (self.order - 1) * length * self.d_model

    def flops_per_token(self, length: int) -> float:
        # On average half the sequence is in the history; each position's filter value is drawn once.
        drawn = sum(weight.numel() for weight in self.filter.weights)
        return 2 * (self._projection_work() + drawn + (self.order - 1) * self.d_model * (length + 1) / 2)
