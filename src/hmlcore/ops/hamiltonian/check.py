"""Refusals shared by every form of the op, before any work starts.

Shapes and devices are always checked. The range of gates is checked on a CPU only: on a GPU a look at them
waits for the device. ``HMLCORE_CHECK_GATES=1`` checks it everywhere, and with it the bound of stability and
that gates are finite; else NaN goes its way (`ops/finite.py`).
"""

import functools

import torch
from torch import Tensor

from hmlcore.errors import HmlcoreError, require
from hmlcore.ops.finite import asked, check_finite, visible
from hmlcore.ops.hamiltonian.dynamics import Coefficients


def check_inputs(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    coefficients: Coefficients,
    initial_state: Tensor | None,
    sequences: int | None = None,
) -> Tensor:
    """Check shapes, devices and values; return the state to start from.

    Args: sequences, how many are packed along T; as many as the batch holds if None.
    Returns: `initial_state` or zeros, [B, H, p, N, D], in fp32 (float64 where an argument is).
    Raises: HmlcoreError naming the argument and what it should have been.
    """
    wanted = check_shapes(r, k, v, coefficients, sequences=sequences, initial_state=initial_state)
    check_coefficients(coefficients)
    tensors = (r, k, v, coefficients.c, *(() if initial_state is None else (initial_state,)))
    dtype = functools.reduce(torch.promote_types, (x.dtype for x in tensors), torch.float32)
    return v.new_zeros(wanted, dtype=dtype) if initial_state is None else initial_state.to(dtype)


def check_shapes(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    coefficients: Coefficients,
    *,
    over: str = "B, T, H",
    sequences: int | None = None,
    **state: Tensor | None,
) -> tuple[int, ...]:
    """Check shapes and devices of what lies over the dimensions `over`, and of the one state by its name.

    Returns: the shape of the state. Raises: HmlcoreError as :func:`check_inputs`.
    """
    dims = over.count(",") + 1
    require(k.ndim == dims + 1, f"k must be [{over}, N], got shape {tuple(k.shape)}")
    lead, n = tuple(k.shape[:-1]), k.shape[-1]
    require(dims == 2 or lead[1] > 0, "k has T = 0 tokens; at least one is needed")
    require(r.shape == k.shape, f"r must have k's shape {tuple(k.shape)}, got {tuple(r.shape)}")
    require(
        v.ndim == dims + 1 and v.shape[:-1] == k.shape[:-1],
        f"v must be [{over}, D] with [{over}] = {lead}, got {tuple(v.shape)}",
    )
    rows = coefficients.rows
    require(rows in (1, 2), f"coefficients must have p = 1 or 2 rows, got {rows}")
    tensors = {"r": r, "v": v}
    for name, x in zip(Coefficients._fields, coefficients, strict=True):
        if x is None:
            require(rows == 1, f"coefficients.{name} is None, which only p = 1 allows")
            continue
        wanted = (*lead, rows) if name in ("c", "e", "f") else lead
        if x.shape != wanted:  # every token comes by here: a message is formed where it is needed
            raise HmlcoreError(f"coefficients.{name} must have shape {wanted}, got {tuple(x.shape)}")
        tensors[f"coefficients.{name}"] = x
    wanted = (sequences or lead[0], lead[-1], rows, n, v.shape[-1])
    for name, x in state.items():
        if x is not None:
            require(tuple(x.shape) == wanted, f"{name} must have shape {wanted}, got {tuple(x.shape)}")
            tensors[name] = x
    for name, x in tensors.items():
        if x.device != k.device:
            raise HmlcoreError(f"{name} is on {x.device} but k is on {k.device}")
    return wanted


def check_coefficients(coefficients: Coefficients) -> None:
    """Refuse gates outside their range; where asked, numbers that are not finite and unstable steps too."""
    x = coefficients
    check_log_gates(log_alpha=x.log_alpha)
    if x.log_gamma is not None and visible(x.log_gamma):
        alpha, gamma = x.log_alpha.detach(), x.log_gamma.detach()
        # Momentum keeps αγ: a rule with a momentum gate of its own, μ = αγ ≤ 1, has γ = μ/α.
        if (beyond := outside(gamma > -alpha, gamma)).any():
            raise HmlcoreError(
                "log_gamma must be at most 0, or -log_alpha (gamma times alpha in [0, 1]), "
                f"got {float(gamma[beyond][0]):g} where log_alpha is {float(alpha[beyond][0]):g}"
            )
    check_finite(**{f"coefficients.{name}": getattr(x, name) for name in ("drift", "c", "e", "f")})
    if asked() and visible(x.e):
        check_stability(x)


def outside(beyond: Tensor, x: Tensor) -> Tensor:
    """`beyond`, and where asked what is NaN, of which no comparison holds."""
    return beyond | x.detach().isnan() if asked() else beyond


def check_log_gates(**gates: Tensor | None) -> None:
    """Refuse logarithms of gates above 0. −inf, a gate that is shut, is the limit and is allowed."""
    for name, x in gates.items():
        if x is not None and visible(x) and outside(x.detach() > 0, x).any():
            gate = name.removeprefix("log_")
            raise HmlcoreError(f"{name} must be at most 0 ({gate} in [0, 1]), got {float(x.detach().max()):g}")


def check_stability(coefficients: Coefficients) -> None:
    """Refuse steps of leapfrog or Euler that one constant unit key drives apart: βh² ≥ 2(1 + γ).

    The forms check it only where asked (`HMLCORE_CHECK_GATES`): a learned h may pass the bound for a while, and
    keys that change are stable or not for other reasons. Call it on gates of your own. With injection into both
    rows eᵀc is more than αβh², and the bound another.
    """
    x = coefficients
    if x.rows != 2 or x.log_gamma is None:
        return
    # The step's trace along the key is α(1 + γ) − eᵀc: leapfrog and Euler have eᵀc = αβh².
    strength = ((x.e * x.c).sum(-1).detach() / x.log_alpha.detach().exp()).nan_to_num()
    excess = strength - 2 * (1 + x.log_gamma.detach().exp())
    if (excess >= 0).any():
        at = excess.argmax()
        found, bound = float(strength.flatten()[at]), float((strength - excess).flatten()[at])
        raise HmlcoreError(f"beta times h squared must be below 2(1 + gamma) = {bound:g}, got {found:g}")
