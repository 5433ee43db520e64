"""The law: selective state spaces one token at a time, as the equations read; correct in float64."""

import functools

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.precision import without_autocast


def check_selective(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None
) -> list[Tensor]:
    """Refuse what does not fit; return all six in one dtype, fp32 at least, the state never None."""
    require(x.ndim == 3 and x.shape[1] > 0, f"x must be [B, T, E] with T > 0, got {tuple(x.shape)}")
    require(a.ndim == 2 and a.shape[0] == x.shape[2], f"a must be [{x.shape[2]}, N], got {tuple(a.shape)}")
    batch, length, width = x.shape
    _shapes(
        dt=(dt, (batch, length, width)),
        b=(b, (batch, length, a.shape[1])),
        c=(c, (batch, length, a.shape[1])),
        initial_state=(state, (batch, width, a.shape[1])),
    )
    return _widened(x, dt, a, b, c, state, (batch, width, a.shape[1]))


def check_ssd(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None) -> list[Tensor]:
    """Refuse what does not fit; return all six in one dtype, fp32 at least, the state never None."""
    require(x.ndim == 4 and x.shape[1] > 0, f"x must be [B, T, H, P] with T > 0, got {tuple(x.shape)}")
    require(b.ndim in (3, 4), f"b must be [B, T, N] or [B, T, H, N], got {tuple(b.shape)}")
    batch, length, heads, size = x.shape
    keys = (*x.shape[: b.ndim - 1], b.shape[-1])
    start = (batch, heads, size, b.shape[-1])
    _shapes(
        dt=(dt, (batch, length, heads)), a=(a, (heads,)), b=(b, keys), c=(c, keys), initial_state=(state, start)
    )
    return _widened(x, dt, a, b, c, state, start)


def _shapes(**wanted: tuple[Tensor | None, tuple[int, ...]]) -> None:
    for name, (x, shape) in wanted.items():
        if x is not None:
            require(tuple(x.shape) == shape, f"{name} must have shape {shape}, got {tuple(x.shape)}")


def _widened(x, dt, a, b, c, state, start) -> list[Tensor]:
    state = x.new_zeros(start) if state is None else state
    tensors = (x, dt, a, b, c, state)
    dtype = functools.reduce(torch.promote_types, (y.dtype for y in tensors), torch.float32)
    return [y.to(dtype) for y in tensors]


@without_autocast
def selective_scan_step(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One token of :func:`naive_selective_scan`: the arguments without T; y [B, E] and the new state."""
    state = (dt[..., None] * a).exp() * state + (dt * x)[..., None] * b[:, None]
    return (state * c[:, None]).sum(-1), state


@without_autocast
def naive_selective_scan(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, initial_state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """S6: per channel e a state h_e of N numbers that decay at their own rates,

        h_t = exp(Δ_t A) ∘ h_{t−1} + Δ_t x_t B_t,   y_t = C_tᵀ h_t.

    Args:
        x: inputs [B, T, E].  dt: step sizes Δ > 0 [B, T, E].  a: A < 0 [E, N].
        b, c: write and read vectors [B, T, N], shared by the channels.
        initial_state: [B, E, N], zeros if None.
    Returns: y [B, T, E] in the dtype of x, and the last state, fp32 at least.
    Raises: HmlcoreError naming the argument whose shape does not fit.
    Source: Gu and Dao, Mamba (arXiv 2312.00752), with the simplified Euler step for B.
    """
    out_dtype = x.dtype
    x, dt, a, b, c, state = check_selective(x, dt, a, b, c, initial_state)
    outputs = []
    for x_t, dt_t, b_t, c_t in zip(*(y.unbind(1) for y in (x, dt, b, c)), strict=True):
        y, state = selective_scan_step(x_t, dt_t, a, b_t, c_t, state)
        outputs.append(y)
    return torch.stack(outputs, 1).to(out_dtype), state


@without_autocast
def ssd_step(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """One token of :func:`naive_ssd`: the arguments without T; y [B, H, P] and the new state."""
    b, c = (y[:, None] if y.ndim == 2 else y for y in (b, c))
    decay = (dt * a).exp()[..., None, None]
    state = decay * state + (dt[..., None] * x)[..., None] * b[:, :, None]
    return (state * c[:, :, None]).sum(-1), state


@without_autocast
def naive_ssd(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, initial_state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The state-space dual: per head a matrix state P×N with one decay,

        S_t = exp(Δ_t A) S_{t−1} + Δ_t x_t B_tᵀ,   y_t = S_t C_t.

    Args:
        x: inputs [B, T, H, P].  dt: Δ > 0 [B, T, H].  a: A < 0 [H].
        b, c: [B, T, N], shared by the heads, or [B, T, H, N].  initial_state: [B, H, P, N], zeros if None.
    Returns: y [B, T, H, P] in the dtype of x, and the last state, fp32 at least.
    Raises: HmlcoreError naming the argument whose shape does not fit.
    Source: Dao and Gu, Mamba-2 (arXiv 2405.21060).
    """
    out_dtype = x.dtype
    x, dt, a, b, c, state = check_ssd(x, dt, a, b, c, initial_state)
    outputs = []
    for x_t, dt_t, b_t, c_t in zip(*(y.unbind(1) for y in (x, dt, b, c)), strict=True):
        y, state = ssd_step(x_t, dt_t, a, b_t, c_t, state)
        outputs.append(y)
    return torch.stack(outputs, 1).to(out_dtype), state
