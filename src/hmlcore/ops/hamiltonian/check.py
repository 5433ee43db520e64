"""Refusals shared by every form of the op, before any work starts."""

import functools

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.hamiltonian.dynamics import Coefficients


def check_inputs(
    r: Tensor,
    k: Tensor,
    v: Tensor,
    coefficients: Coefficients,
    initial_state: Tensor | None,
    sequences: int | None = None,
) -> Tensor:
    """Check shapes and devices; return the state to start from.

    Args: sequences, how many are packed along T; as many as the batch holds if None.
    Returns: `initial_state` or zeros, [B, H, p, N, D], in fp32 (float64 where an argument is).
    Raises: HmlcoreError naming the argument and what it should have been.
    """
    require(k.ndim == 4, f"k must be [B, T, H, N], got shape {tuple(k.shape)}")
    batch, length, heads, n = k.shape
    require(length > 0, "k has T = 0 tokens; at least one is needed")
    require(r.shape == k.shape, f"r must have k's shape {tuple(k.shape)}, got {tuple(r.shape)}")
    require(
        v.ndim == 4 and v.shape[:3] == k.shape[:3],
        f"v must be [B, T, H, D] with [B, T, H] = {tuple(k.shape[:3])}, got {tuple(v.shape)}",
    )
    rows = coefficients.rows
    require(rows in (1, 2), f"coefficients must have p = 1 or 2 rows, got {rows}")
    for name, x in zip(Coefficients._fields, coefficients, strict=True):
        if x is None:
            require(rows == 1, f"coefficients.{name} is None, which only p = 1 allows")
            continue
        wanted = (batch, length, heads, rows) if name in ("c", "e", "f") else (batch, length, heads)
        require(tuple(x.shape) == wanted, f"coefficients.{name} must have shape {wanted}, got {tuple(x.shape)}")
    tensors = {"r": r, "k": k, "v": v, "coefficients.c": coefficients.c}
    wanted = (sequences or batch, heads, rows, n, v.shape[-1])
    if initial_state is not None:
        require(
            tuple(initial_state.shape) == wanted,
            f"initial_state must have shape {wanted}, got {tuple(initial_state.shape)}",
        )
        tensors["initial_state"] = initial_state
    for name, x in tensors.items():
        require(x.device == k.device, f"{name} is on {x.device} but k is on {k.device}")
    dtype = functools.reduce(torch.promote_types, (x.dtype for x in tensors.values()), torch.float32)
    return v.new_zeros(wanted, dtype=dtype) if initial_state is None else initial_state.to(dtype)
