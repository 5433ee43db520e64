"""The law: linear recurrences one token at a time."""

import functools

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops.precision import without_autocast


def check_scan(m: Tensor, b: Tensor, state: Tensor | None) -> list[Tensor]:
    """Refuse what does not fit; return m, b and the state to start from in one dtype, fp32 at least."""
    require(b.ndim >= 3 and b.shape[1] > 0, f"b must be [B, T, ..., r] with T > 0, got {tuple(b.shape)}")
    lead, wanted = b.shape[:-1], (*b.shape, b.shape[-1])
    fits = m.ndim == len(wanted) and all(
        have == want or (have == 1 and i < len(lead))
        for i, (have, want) in enumerate(zip(m.shape, wanted, strict=True))
    )
    require(fits, f"m must have shape {wanted}, or 1 where it does not vary, got {tuple(m.shape)}")
    first = (b.shape[0], *b.shape[2:])
    if state is None:
        state = b.new_zeros(first)
    require(tuple(state.shape) == first, f"initial_state must have shape {first}, got {tuple(state.shape)}")
    tensors = (m, b, state)
    dtype = functools.reduce(torch.promote_types, (x.dtype for x in tensors), torch.float32)
    return [x.to(dtype) for x in tensors]


@without_autocast
def naive_block_scan(m: Tensor, b: Tensor, initial_state: Tensor | None = None) -> Tensor:
    """h_t = M_t h_{t−1} + b_t with small square blocks M_t, real or complex.

    Args:
        m: [B, T, ..., r, r], or 1 in any dimension but the last two along which it does not vary.
        b: [B, T, ..., r].  initial_state: h_0 [B, ..., r], zeros if None.
    Returns: h_1 … h_T [B, T, ..., r], fp32 at least; the last is the state to go on from.
    Raises: HmlcoreError naming the argument whose shape does not fit.
    """
    m, b, h = check_scan(m, b, initial_state)
    m = m.expand(-1, b.shape[1], *m.shape[2:])
    states = []
    # unbind: the gradient of T slices would be T tensors of full length.
    for m_t, b_t in zip(m.unbind(1), b.unbind(1), strict=True):
        h = (m_t @ h[..., None]).squeeze(-1) + b_t
        states.append(h)
    return torch.stack(states, 1)
