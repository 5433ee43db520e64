"""What the mixers that remember with matrices share: projections, short convolution, state, read-out."""

from abc import abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import LARGEST, check_int, check_number, check_optional
from hmlcore.errors import require
from hmlcore.layers.base import MemoryMixer, MemoryState, conv_weight, inverse_softplus, split_heads
from hmlcore.layers.read_out import skip_gain, with_skip
from hmlcore.ops.short_conv import short_conv


def time_step_bias(count: int) -> Tensor:
    """b with softplus(b) spread log-uniformly over [.001, .1]: the bias of Mamba's time steps.

    Source: the code of Gu and Dao, Mamba (arXiv 2312.00752), whose section 3.6 has them uniform.
    """
    dt = torch.exp(torch.empty(count).uniform_(-6.907755, -2.302585))  # log .001 … log .1
    return inverse_softplus(dt)


class MatrixMemory(MemoryMixer):
    """q, k, v = conv(W x), a recurrence over matrices of N × D a head, y = W_o(norm(o) ⊙ SiLU(W_g x)).

    A subclass says what happens to q, k and v (:meth:`features`), what the recurrence is over a
    sequence (:meth:`scan`) and over one token (:meth:`advance`).

    Args:
        d_model: width of the residual stream.
        num_heads: H. head_dim: N, d_model / num_heads if None.
        expand_v: D / N.
        conv_size: taps of the causal depthwise convolution on q, k and v; 1 leaves it out in effect.
        gates: scalars that every token computes for each head.
        skip: whether y = W_o((norm(o) + D ∘ v) ⊙ SiLU(W_g x)), D one a channel, from 1.
        corrections: m, keys and values of a token: k is [B, T, m·H, N] and v [B, T, m·H, D], one correction
            after another, and the skip is of the last.
    """

    rows: ClassVar[tuple[int, ...]] = ()  # matrices a head keeps, if more than one
    touches: int  # multiply-adds of one token for every float of the memory

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        head_dim: int | None,
        expand_v: float,
        conv_size: int,
        gates: int = 0,
        skip: bool = False,
        corrections: int = 1,
    ):
        super().__init__(d_model)
        d_model = self.d_model
        num_heads = self.num_heads = check_int("num_heads", num_heads)
        head_dim = check_optional("head_dim", head_dim, check_int)
        self.head_dim = split_heads(d_model, num_heads) if head_dim is None else head_dim
        expand_v = check_number("expand_v", expand_v)
        self.value_dim = round(self.head_dim * expand_v)
        require(
            1 <= self.value_dim <= LARGEST and self.value_dim == self.head_dim * expand_v,
            f"expand_v = {expand_v} times head_dim = {self.head_dim} must be a whole number of at least 1",
        )
        self.memory_shape = (num_heads, *self.rows, self.head_dim, self.value_dim)
        self.corrections = check_int("corrections", corrections)
        values = num_heads * self.value_dim
        channels = (1 + self.corrections) * num_heads * self.head_dim + self.corrections * values
        self.in_proj = nn.Linear(d_model, channels, bias=False)
        self.conv = conv_weight(channels, conv_size)
        self.gate_proj = nn.Linear(d_model, gates * num_heads) if gates else None
        self.norm = self.build_norm()
        self.out_gate = nn.Linear(d_model, values, bias=False)
        self.out_proj = nn.Linear(values, d_model, bias=False)
        self.skip = skip_gain(skip, values)

    def build_norm(self) -> nn.Module:
        """The normalisation of o [B, T, H, D] before the output gate."""
        return nn.RMSNorm(self.value_dim, eps=1e-5)

    @abstractmethod
    def features(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the recurrence is given, q, k [B, T, H, N] and v [B, T, H, D], from the convolved channels of
        each, which :meth:`_heads` tells apart."""

    @abstractmethod
    def scan(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The recurrence over a sequence: o [B, T, H, D] and the last memory; x is the layer's input."""

    @abstractmethod
    def advance(self, q: Tensor, k: Tensor, v: Tensor, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The recurrence over one token: q, k, v in fp32 without the time dimension, x [B, 1, d_model]."""

    def gate_inputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """The affine maps of x that gates begin with: [B, T, H] each, in fp32 at least."""
        # Autocast would round a decay of 1 − 1e-3 to 1.
        assert self.gate_proj is not None  # as of what has gates
        with torch.autocast(x.device.type, enabled=False):
            wide = torch.promote_types(x.dtype, torch.float32)
            weight, bias = self.gate_proj.weight.to(wide), self.gate_proj.bias.to(wide)
            return F.linear(x.to(wide), weight, bias).unflatten(-1, (-1, self.num_heads)).unbind(-2)

    def gate_biases(self) -> tuple[Tensor, ...]:
        """The biases of :meth:`gate_inputs`, [H] each, as views that can be filled."""
        assert self.gate_proj is not None
        return self.gate_proj.bias.view(-1, self.num_heads).unbind(0)

    def _project(self, x: Tensor, conv: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mixed, conv = short_conv(self.in_proj(x), self.conv, conv)
        return *self.features(mixed), conv

    def _heads(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k [B, T, H, N] and v [B, T, H, D] of mixed [B, T, E]; of m corrections m·H keys and values."""
        keys, written = self.num_heads * self.head_dim, self.corrections * self.num_heads
        q, k, v = mixed.split((keys, self.corrections * keys, written * self.value_dim), -1)
        return (
            q.unflatten(-1, (self.num_heads, -1)),
            k.unflatten(-1, (written, -1)),
            v.unflatten(-1, (written, -1)),
        )

    def _read_out(self, o: Tensor, v: Tensor, x: Tensor) -> Tensor:
        v = v[:, :, -self.num_heads :]
        return self.out_proj(with_skip(self.norm(o), v, self.skip) * F.silu(self.out_gate(x)))

    def forward(self, x: Tensor, state: MemoryState | None = None) -> tuple[Tensor, MemoryState]:
        state = self._begin(x, state)
        q, k, v, conv = self._project(x, state.conv)
        o, memory = self.scan(q, k, v, x, state.memory)
        return self._read_out(o, v, x), MemoryState(memory, conv)

    def step(self, x: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState]:
        self._check_input(x, 2)
        x = x[:, None]
        q, k, values, conv = self._project(x, state.conv)
        q, k, v = (y[:, 0].to(state.memory.dtype) for y in (q, k, values))
        o, memory = self.advance(q, k, v, x, state.memory)
        return self._read_out(o.to(values.dtype)[:, None], values, x)[:, 0], MemoryState(memory, conv)

    def flops_per_token(self, length: int) -> float:
        return 2 * (self._projection_work() + self.touches * self.memory_size)
