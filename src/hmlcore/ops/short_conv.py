"""Causal depthwise convolution over a few tokens, the local mixing every layer here is given alike."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import backend
from hmlcore.ops.extras import imports_on_cuda, no_kernel
from hmlcore.ops.once import once
from hmlcore.ops.packing import check_cu_seqlens, own
from hmlcore.ops.self_check import form_error, normals
from hmlcore.ops.shifted_conv import shifted_conv, whole_conv

Bounds = Tensor | Sequence[int] | None


def _check(x: Tensor, weight: Tensor, state: Tensor | None, cu_seqlens: Bounds) -> tuple[Tensor, list[int]]:
    """The state to start from, [S, K − 1, E], and the bounds of the sequences along T (S = B, unpacked)."""
    require(x.ndim == 3 and x.shape[1] > 0, f"x must be [B, T, E] with T > 0, got {tuple(x.shape)}")
    require(
        weight.ndim == 2 and weight.shape[0] == x.shape[2],
        f"weight must be [E, K] with E = {x.shape[2]}, got {tuple(weight.shape)}",
    )
    batch, length, channels = x.shape
    bounds = [0, length] if cu_seqlens is None else check_cu_seqlens(cu_seqlens, batch, length)
    wanted = (batch if cu_seqlens is None else len(bounds) - 1, weight.shape[1] - 1, channels)
    if state is None:
        return x.new_zeros(wanted), bounds
    require(tuple(state.shape) == wanted, f"state must have shape {wanted}, got {tuple(state.shape)}")
    require(state.device == x.device, f"state is on {state.device} but x is on {x.device}")
    return state.to(x.dtype), bounds


def naive_short_conv(
    x: Tensor, weight: Tensor, state: Tensor | None = None, cu_seqlens: Bounds = None
) -> tuple[Tensor, Tensor]:
    """y_t = Σ_{i<K} weight[:, K−1−i] x_{t−i}, the inputs before the first being the state's.

    Args:
        x [B, T, E]; weight [E, K]; state [B, K−1, E], the last K − 1 inputs, zeros if None.
        cu_seqlens: [S + 1] bounds of S sequences packed along T (then B = 1, and states are [S, K−1, E]);
            none sees another.
    Returns: y [B, T, E] and the new state.
    Raises: HmlcoreError naming the argument whose shape or device does not fit.
    """
    state, bounds = _check(x, weight, state, cu_seqlens)
    if cu_seqlens is not None:
        parts = [
            naive_short_conv(x[:, a:b], weight, state[i : i + 1])
            for i, (a, b) in enumerate(itertools.pairwise(bounds))
        ]
        outputs, states = zip(*parts, strict=True)
        return torch.cat(outputs, 1), torch.cat(states)
    window = torch.cat((state, x), 1)
    width = weight.shape[1]
    y: list[Any] = [
        sum(weight[:, i] * window[:, t + i] for i in range(width))
        for t in range(x.shape[1])
    ]  # fmt: skip
    return torch.stack(y, 1), own(window[:, window.shape[1] - (width - 1) :])


def _windowed(convolve: Callable, x: Tensor, weight: Tensor, state: Tensor | None, cu_seqlens: Bounds):
    """The op through `convolve`, which maps windows [B, L + K − 1, E] to [B, L, E].

    Packed sequences become one window: each with its state in front, [state | x | state | x | …]. Outputs
    whose taps begin in one sequence and end in the next are dropped.
    """
    state, bounds = _check(x, weight, state, cu_seqlens)
    before = weight.shape[1] - 1
    if cu_seqlens is None:
        window = torch.cat((state, x), 1)
        return convolve(window), own(window[:, window.shape[1] - before :])
    spans = list(itertools.pairwise(bounds))
    pieces = [y for i, (a, b) in enumerate(spans) for y in (state[i : i + 1], x[:, a:b])]
    window = torch.cat(pieces, 1)
    y = convolve(window)
    outputs = [y[:, a + i * before : b + i * before] for i, (a, b) in enumerate(spans)]
    ends = [window[:, b + i * before : b + (i + 1) * before] for i, (_, b) in enumerate(spans)]
    return torch.cat(outputs, 1), torch.cat(ends)


def conv1d_short_conv(
    x: Tensor, weight: Tensor, state: Tensor | None = None, cu_seqlens: Bounds = None
) -> tuple[Tensor, Tensor]:
    """The same through ``F.conv1d``; arguments as :func:`naive_short_conv`."""
    return _windowed(lambda window: whole_conv(window, weight.to(x.dtype)), x, weight, state, cu_seqlens)


def shifted_short_conv(
    x: Tensor, weight: Tensor, state: Tensor | None = None, cu_seqlens: Bounds = None
) -> tuple[Tensor, Tensor]:
    """The same as shifted sums, block by block; arguments as :func:`naive_short_conv`."""
    return _windowed(lambda window: shifted_conv(window, weight.to(x.dtype)), x, weight, state, cu_seqlens)


def causal_conv1d_short_conv(
    x: Tensor, weight: Tensor, state: Tensor | None = None, cu_seqlens: Bounds = None
) -> tuple[Tensor, Tensor]:
    """The same through the CUDA kernel of causal-conv1d; arguments as :func:`naive_short_conv`.

    The state goes in front of the inputs, as in the other forms, and its outputs are dropped.
    """
    from causal_conv1d import causal_conv1d_fn

    def convolve(window: Tensor) -> Tensor:
        window, taps = once("causal_conv1d_short_conv", "naive_short_conv", window, weight.to(x.dtype))
        return causal_conv1d_fn(window.mT, taps).mT[:, weight.shape[1] - 1 :]

    return _windowed(convolve, x, weight, state, cu_seqlens)


def _unfit(x: Tensor, weight: Tensor, state: Tensor | None) -> str | None:
    channels, width = x.shape[-1], weight.shape[-1]
    if channels % 8 or not 2 <= width <= 4:
        return f"it takes channels in eights and 2 to 4 taps, given {channels} and {width}"
    return no_kernel(x, weight, state)


def _only_cpu(device: torch.device) -> str | None:
    return None if device.type == "cpu" else "it is for CPUs"


def _narrow(x: Tensor, weight: Tensor, state: Tensor | None) -> str | None:
    if torch.is_autocast_enabled(x.device.type):
        return "autocast is to choose its dtype"
    return None if x.dtype.itemsize >= 4 else f"its sums would be rounded at every tap in {x.dtype}"


def short_conv(
    x: Tensor, weight: Tensor, state: Tensor | None = None, cu_seqlens: Bounds = None
) -> tuple[Tensor, Tensor]:
    """The op through whichever form suits the device; arguments as :func:`naive_short_conv`."""
    form = backend.choose("short_conv", x.device, given=(x, weight, state)).form
    return form.function(x, weight, state, cu_seqlens)


backend.register(
    "short_conv",
    [
        backend.Form(
            "causal_conv1d",
            causal_conv1d_short_conv,
            imports_on_cuda("causal_conv1d", "causal-conv1d"),
            "the CUDA kernel of causal-conv1d",
            kernel=True,
            unfit=_unfit,
        ),
        backend.Form(
            "shifted", shifted_short_conv, _only_cpu, "shifted sums in the cache of a CPU", unfit=_narrow
        ),
        backend.Form("conv1d", conv1d_short_conv, backend.anywhere, "torch's depthwise conv1d, any device"),
        backend.Form("naive", naive_short_conv, backend.anywhere, "a sum per token, the law"),
    ],
    lambda form, naive, device: form_error(form, naive, normals(device, (2, 9, 8), (8, 4), (2, 3, 8))),
)
