"""Causal multi-head attention with rotary positions: the memory that keeps everything."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmlcore.checks import check_int
from hmlcore.errors import require
from hmlcore.layers.base import Mixer, conv_weight, split_heads
from hmlcore.ops.attention import attention, rotate
from hmlcore.ops.short_conv import short_conv


class AttentionState(NamedTuple):
    """Rotated keys and values of all tokens so far [B, t, H, d], and the short convolution's inputs."""

    keys: Tensor
    values: Tensor
    conv: Tensor  # [B, conv_size − 1, 3·d_model]


class RotaryAttention(Mixer):
    """What forms of attention share: heads of an even dimension, q, k and v through the short convolution."""

    def __init__(self, d_model: int, num_heads: int, conv_size: int):
        super().__init__(d_model)
        d_model = self.d_model
        self.num_heads = check_int("num_heads", num_heads)
        self.head_dim = split_heads(d_model, self.num_heads)
        require(
            self.head_dim % 2 == 0,
            f"RoPE needs an even head dimension, got {self.head_dim} with d_model = {d_model}, "
            f"num_heads = {num_heads}",
        )
        self.in_proj = nn.Linear(d_model, 3 * d_model, bias=False)
        self.conv = conv_weight(3 * d_model, conv_size)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def _project(self, x: Tensor, conv: Tensor) -> tuple[Tensor, ...]:
        """q, k, v [B, T, H, d] of x, not rotated, and the convolution's new state."""
        qkv, conv = short_conv(self.in_proj(x), self.conv, conv)
        return *qkv.unflatten(-1, (3, self.num_heads, self.head_dim)).unbind(2), conv

    def _flops(self, seen: float) -> float:
        """Of a token that sees so many others: for each, scores and mixing are d_model multiply-adds."""
        return 2 * (self._projection_work() + 2 * self.d_model * seen)


class Attention(RotaryAttention):
    """softmax(QKᵀ/√d)V with RoPE on queries and keys; q, k and v through the short convolution.

    The state is a cache that grows with the sequence: 2·T·d_model floats, the upper bound that
    bounded memories are compared with. Source: Vaswani et al. (arXiv 1706.03762).

    Args:
        d_model: width of the residual stream.
        num_heads: divides d_model into heads of an even dimension.
        conv_size: taps of the causal depthwise convolution on q, k and v; 1 leaves it out in effect.
    """

    name = "attention"

    def __init__(self, d_model: int, num_heads: int = 4, conv_size: int = 4):
        super().__init__(d_model, num_heads, conv_size)

    def forward(self, x: Tensor, state: AttentionState | None = None) -> tuple[Tensor, AttentionState]:
        state = self._begin(x, state)
        q, k, v, conv = self._project(x, state.conv)
        seen = state.keys.shape[1]
        positions = torch.arange(seen, seen + x.shape[1], device=x.device)
        keys = torch.cat((state.keys.to(k.dtype), rotate(k, positions)), 1)
        values = torch.cat((state.values.to(v.dtype), v), 1)
        y = attention(rotate(q, positions), keys, values)
        return self.out_proj(y.flatten(2)), AttentionState(keys, values, conv)

    def init_state(self, batch, device=None, dtype=None) -> AttentionState:
        shape = (batch, 0, self.num_heads, self.head_dim)
        keys, values = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
        return AttentionState(keys, values, self._empty_conv(batch, device, dtype))

    def state_size(self, length: int) -> int:
        return super().state_size(length) + 2 * length * self.d_model

    def flops_per_token(self, length: int) -> float:
        return self._flops((length + 1) / 2)  # on average half the sequence is in the cache
