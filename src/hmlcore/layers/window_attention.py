"""Sliding-window attention: the bounded memory that keeps the last tokens as they were and nothing else."""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.layers.attention import RotaryAttention
from hmlcore.ops.packing import own
from hmlcore.ops.window_attention import window_attention


class WindowAttentionState(NamedTuple):
    """Keys (not rotated) and values of the last window − 1 tokens, and the short convolution's inputs."""

    keys: Tensor  # [B, window − 1, H, d]
    values: Tensor
    present: Tensor  # [B, window − 1], 1 where there was a token and 0 before the beginning
    conv: Tensor  # [B, conv_size − 1, 3·d_model]


WINDOW = 64
"""Tokens in view, unless told otherwise."""


class WindowAttention(RotaryAttention):
    """softmax(QKᵀ/√d)V over the last `window` tokens, with RoPE; q, k and v through the short convolution.

    The state does not grow: 2·(window − 1)·d_model floats and window − 1 marks. Through several layers a token
    hears of layers · (window + conv_size − 2) others and of nothing before. Source: Beltagy et al. (arXiv
    2004.05150).

    Args:
        d_model: width of the residual stream.
        num_heads: divides d_model into heads of an even dimension.
        window: tokens in view, the present one among them. d_model / num_heads gives about as many floats of
            state as a matrix memory of as many heads has.
        conv_size: taps of the causal depthwise convolution on q, k and v; 1 leaves it out in effect.
    Raises: HmlcoreError for sizes that do not fit.
    """

    name = "window_attention"

    def __init__(self, d_model: int, num_heads: int = 4, window: int = WINDOW, conv_size: int = 4):
        window = check_int("window", window)
        super().__init__(d_model, num_heads, conv_size)
        self.window = window

    def forward(self, x: Tensor, state: WindowAttentionState | None = None):
        y, _, after = self.attended(x, state)
        return self.out_proj(y.flatten(2)), after

    def attended(self, x: Tensor, state: WindowAttentionState | None = None):
        """What each head has read [B, T, H, d]; its q, k and v [B, T, H, d], not rotated; the state after x."""
        state = self._begin(x, state)
        q, k, v, conv = self._project(x, state.conv)
        keys = torch.cat((state.keys.to(k.dtype), k), 1)
        values = torch.cat((state.values.to(v.dtype), v), 1)
        present = torch.cat((state.present, state.present.new_ones(x.shape[:2])), 1)
        y = window_attention(q, keys, values, present)
        last = (own(part[:, x.shape[1] :]) for part in (keys, values, present))
        return y, (q, k, v), WindowAttentionState(*last, conv=conv)

    def init_state(self, batch, device=None, dtype=None) -> WindowAttentionState:
        shape = (batch, self.window - 1, self.num_heads, self.head_dim)
        parts = (torch.zeros(s, device=device, dtype=dtype) for s in (shape, shape, shape[:2]))
        return WindowAttentionState(*parts, conv=self._empty_conv(batch, device, dtype))

    def flops_per_token(self, length: int) -> float:
        # The first window − 1 tokens see fewer.
        whole = min(self.window, length)
        return self._flops(whole - whole * (whole - 1) / (2 * length))
