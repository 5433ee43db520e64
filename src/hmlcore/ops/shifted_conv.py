"""The short convolution on a CPU: taps as shifted sums over blocks of tokens that stay in the cache.

A depthwise convolution of four taps has no arithmetic to speak of: what it costs is passes over memory, five
forward and eleven backward as sums over the whole. Block by block they are made in the cache.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 2**18
"""Floats of a block: 1 MB, which a core keeps to itself."""


def whole_conv(window: Tensor, weight: Tensor) -> Tensor:
    """The same through ``F.conv1d``."""
    return F.conv1d(window.mT, weight[:, None], groups=weight.shape[0]).mT


def shifted_conv(window: Tensor, weight: Tensor) -> Tensor:
    """y_t = Σ_i weight[:, i] window_{t+i}: window [B, L + K − 1, E], weight [E, K] → [B, L, E].

    As often differentiable as asked; a compiled or transformed graph gets ``F.conv1d``, which is one node.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return whole_conv(window, weight)
    return _Shifted.apply(window, weight)


class _Shifted(torch.autograd.Function):
    @staticmethod
    def forward(ctx, window: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(window, weight)
        batch, length, channels = window.shape
        taps = weight.T.contiguous().unbind(0)
        y = window.new_empty(batch, length - len(taps) + 1, channels)
        for x, out in _blocks(window, y):
            rows = out.shape[1]
            torch.mul(x[:, :rows], taps[0], out=out)
            for i, tap in enumerate(taps[1:], 1):
                out.addcmul_(x[:, i : i + rows], tap)
        return y

    @staticmethod
    def backward(ctx, d_y: Tensor) -> tuple[Tensor, Tensor]:
        window, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # of a gradient that is differentiated itself
            y = whole_conv(window, weight)
            d_window, d_weight = torch.autograd.grad(y, (window, weight), d_y, create_graph=True)
            return d_window, d_weight
        taps = weight.T.contiguous().unbind(0)
        d_window, d_taps = torch.zeros_like(window), torch.zeros_like(weight.T)
        for (x, given), (d_x, _) in zip(_blocks(window, d_y), _blocks(d_window, d_y), strict=True):
            rows, product = given.shape[1], torch.empty_like(given)
            for i, tap in enumerate(taps):
                d_x[:, i : i + rows].addcmul_(given, tap)
                d_taps[i] += torch.mul(given, x[:, i : i + rows], out=product).sum((0, 1))
        return d_window, d_taps.T


def _blocks(window: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Several sequences of y and the window, or of one after the other so many tokens as make a block: of y
    [b, R, E], and what they see of the window [b, R + K − 1, E]."""
    length, channels = window.shape[1:]
    more, rows = length - y.shape[1], max(1, BLOCK // max(1, channels))
    together = max(1, rows // length)
    for x, out in zip(window.split(together), y.split(together), strict=True):
        for start in range(0, out.shape[1], rows):
            yield x[:, start : start + rows + more], out[:, start : start + rows]
