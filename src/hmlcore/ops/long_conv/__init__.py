"""Causal convolution with a filter as long as the sequence, in O(T log T) by fast Fourier transform."""

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import backend
from hmlcore.ops.finite import bad_tokens, cleaned, marked, marks
from hmlcore.ops.precision import without_autocast
from hmlcore.ops.self_check import form_error, normals

__all__ = ["fft_long_conv", "long_conv", "naive_long_conv"]


def _check(x: Tensor, weight: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """All inputs so far and the filter, in one dtype, fp32 at least."""
    require(x.ndim == 3 and x.shape[1] > 0, f"x must be [B, T, E] with T > 0, got {tuple(x.shape)}")
    batch, length, width = x.shape
    if state is None:
        state = x.new_zeros(batch, 0, width)
    require(
        state.ndim == 3 and (state.shape[0], state.shape[2]) == (batch, width),
        f"state must be [B, S, E] with B, E = {(batch, width)}, got {tuple(state.shape)}",
    )
    total = state.shape[1] + length
    require(
        weight.ndim == 2 and weight.shape[0] >= total and weight.shape[1] == width,
        f"weight must be [L, {width}] with L at least S + T = {total}, got {tuple(weight.shape)}",
    )
    wide = torch.promote_types(torch.promote_types(x.dtype, weight.dtype), torch.float32)
    return torch.cat((state.to(wide), x.to(wide)), 1), weight[:total].to(wide)


@without_autocast
def naive_long_conv(x: Tensor, weight: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """y_t = Σ_{s≤t} w_{t−s} x_s per channel, over all inputs so far: O(T²), the law.

    Args: x [B, T, E]; weight w [L, E], L at least the inputs so far; state [B, S, E], the S earlier
        inputs, none if None.
    Returns: y [B, T, E] in the dtype of x, and the state S + T inputs long, fp32 at least.
    Raises: HmlcoreError naming the argument whose shape does not fit.
    """
    inputs, weight = _check(x, weight, state)
    total = inputs.shape[1]
    outputs = [
        torch.einsum("bse,se->be", inputs[:, : t + 1], weight[: t + 1].flip(0))
        for t in range(total - x.shape[1], total)
    ]
    return torch.stack(outputs, 1).to(x.dtype), inputs


def _fast_length(least: int) -> int:
    """The smallest length of at least `least` that is 1, 3, 5 or 15 times a power of two."""
    return min(m << max(0, -(-least // m) - 1).bit_length() for m in (1, 3, 5, 15))


@without_autocast
def fft_long_conv(x: Tensor, weight: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """:func:`naive_long_conv` as a product of spectra; the same arguments.

    Causal to rounding only: a transform mixes all times, so y_t carries an error of the dtype's
    precision relative to the largest input, later ones included. One token is a plain sum.
    """
    if not len(x):  # transforms of no sequence are refused
        return naive_long_conv(x, weight, state)
    inputs, weight = _check(x, weight, state)
    total = inputs.shape[1]
    if x.shape[1] == 1:
        return torch.einsum("bse,se->be", inputs, weight.flip(0))[:, None].to(x.dtype), inputs
    n = _fast_length(2 * total - 1)  # room for the product to run out before it wraps around
    spectrum = torch.fft.rfft(inputs, n, dim=1) * torch.fft.rfft(weight, n, dim=0)
    y = torch.fft.irfft(spectrum, n, dim=1)[:, total - x.shape[1] : total]
    return y.to(x.dtype), inputs


def long_conv(x: Tensor, weight: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The op through whichever form suits the device; arguments as :func:`naive_long_conv`."""
    form = backend.choose("long_conv", x.device).form
    state = x.new_zeros(len(x), 0, x.shape[-1]) if state is None else state
    # One token is a plain sum.
    bad = None if x.shape[1] == 1 else [bad_tokens({"x": y}) if y.numel() else None for y in (state, x)]
    if bad is None or all(b is None for b in bad):
        return form.function(x, weight, state)
    none = [torch.zeros(y.shape[:2], dtype=torch.bool, device=y.device) for y in (state, x)]
    before, now = (y if b is None else b for b, y in zip(bad, none, strict=True))
    y, inputs = form.function(cleaned(x, now), weight, cleaned(state, before))
    bad = torch.cat((before, now), 1)
    return marked(y, marks(bad)[:, state.shape[1] :]), marked(inputs, marks(bad, window=1))


backend.register(
    "long_conv",
    [
        backend.Form("fft", fft_long_conv, backend.anywhere, "torch's fast Fourier transform, any device"),
        backend.Form("naive", naive_long_conv, backend.anywhere, "a sum per token, the law"),
    ],
    lambda form, naive, device: form_error(form, naive, normals(device, (2, 37, 5), (48, 5), (2, 11, 5))),
)
