"""Sliding-window attention: the bounded memory that keeps the last tokens as they were and nothing else."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmlcore.errors import require
from hmlcore.layers.base import Mixer, conv_weight, split_heads
from hmlcore.ops.short_conv import short_conv
from hmlcore.ops.window_attention import window_attention


class WindowAttentionState(NamedTuple):
    """Keys (not rotated) and values of the last window − 1 tokens, and the short convolution's inputs."""

    keys: Tensor  # [B, window − 1, H, d]
    values: Tensor
    present: Tensor  # [B, window − 1], 1 where there was a token and 0 before the beginning
    conv: Tensor  # [B, conv_size − 1, 3·d_model]


class WindowAttention(Mixer):
    """softmax(QKᵀ/√d)V over the last `window` tokens, with RoPE; q, k and v through the short convolution.

    The state does not grow: 2·(window − 1)·d_model floats and window − 1 marks. Through several layers a token
    hears of layers · (window − 1) others and of nothing before. Source: Beltagy et al. (arXiv 2004.05150).

    Args:
        d_model: width of the residual stream.
        num_heads: divides d_model into heads of an even dimension.
        window: tokens in view, the present one among them. d_model / num_heads gives about as many floats of
            state as a matrix memory of as many heads has.
        conv_size: taps of the causal depthwise convolution on q, k and v; 1 leaves it out in effect.
    Raises: HmlcoreError for sizes that do not fit.
    """

    name = "window_attention"

    def __init__(self, d_model: int, num_heads: int = 4, window: int = 64, conv_size: int = 4):
        super().__init__(d_model)
        self.num_heads, self.head_dim = num_heads, split_heads(d_model, num_heads)
        require(self.head_dim % 2 == 0, f"RoPE needs an even head dimension, got {self.head_dim}")
        require(window >= 1, f"window must be at least 1, got {window}")
        self.window = window
        self.in_proj = nn.Linear(d_model, 3 * d_model, bias=False)
        self.conv = conv_weight(3 * d_model, conv_size)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x: Tensor, state: WindowAttentionState | None = None):
        self._check_input(x)
        if state is None:
            state = self.init_state(x.shape[0], x.device, x.dtype)
        qkv, conv = short_conv(self.in_proj(x), self.conv, state.conv)
        q, k, v = qkv.unflatten(-1, (3, self.num_heads, self.head_dim)).unbind(2)
        keys = torch.cat((state.keys.to(k.dtype), k), 1)
        values = torch.cat((state.values.to(v.dtype), v), 1)
        present = torch.cat((state.present, state.present.new_ones(x.shape[:2])), 1)
        y = window_attention(q, keys, values, present)
        kept = slice(keys.shape[1] - self.window + 1, None)
        return self.out_proj(y.flatten(2)), WindowAttentionState(
            keys[:, kept], values[:, kept], present[:, kept], conv
        )

    def step(self, x: Tensor, state: WindowAttentionState):
        self._check_input(x, 2)
        y, state = self(x[:, None], state)
        return y[:, 0], state

    def init_state(self, batch, device=None, dtype=None) -> WindowAttentionState:
        kept = torch.zeros(batch, self.window - 1, self.num_heads, self.head_dim, device=device, dtype=dtype)
        taps = torch.zeros(batch, self.conv.shape[1] - 1, 3 * self.d_model, device=device, dtype=dtype)
        return WindowAttentionState(kept, kept, kept.new_zeros(batch, self.window - 1), taps)

    def state_size(self, length: int) -> int:
        return (self.window - 1) * (2 * self.d_model + 1) + (self.conv.shape[1] - 1) * 3 * self.d_model

    def flops_per_token(self, length: int) -> float:
        projections = self.in_proj.weight.numel() + self.out_proj.weight.numel() + self.conv.numel()
        # The first window − 1 tokens see fewer: on average over the sequence, scores and mixing of those seen.
        whole = min(self.window, length)
        seen = whole - whole * (whole - 1) / (2 * length)
        return 2 * (projections + 2 * self.d_model * seen)

    @property
    def output_projections(self) -> list[nn.Linear]:
        return [self.out_proj]
