r"""Several corrections a token: a scan over more steps than there are tokens.

A token of m corrections forgets once, writes m associations one after another, and reads once:

    S ← αS;   S ← S − e_i k_i(k_iᵀS − v_iᵀ),  i = 1 … m;   o = Sᵀr

That is m micro-steps of the memory's own recurrence: α = 1 in all but the first, r = 0 in all but the last.
The products of m rank-one corrections move m keys' worth of a state that has no more bytes.
Source: Siems et al., DeltaProduct (arXiv 2502.10297).
"""

import torch
from torch import Tensor


def interleave(parts: list[Tensor]) -> Tensor:
    """What each of m corrections has, [B, T, ...], by micro-steps: [B, T·m, ...]."""
    # One is left as it lies in memory: its nonlinearities round by that.
    return parts[0] if len(parts) == 1 else torch.stack(parts, 2).flatten(1, 2)


def micro_steps(x: Tensor, count: int) -> Tensor:
    """What every correction has its own of, [B, T, m·H, ...], correction by correction: [B, T·m, H, ...]."""
    return x if count == 1 else x.unflatten(2, (count, -1)).flatten(1, 2)


def at_step(x: Tensor, place: int, count: int) -> Tensor:
    """What a token has once, x [B, T, ...], in micro-step `place` of its `count`, and zeros in the others."""
    if count == 1:
        return x
    none = torch.zeros_like(x)
    return interleave([x if i == place else none for i in range(count)])


def last_steps(x: Tensor, count: int) -> Tensor:
    """x [B, T·m, ...] after each token's last correction: [B, T, ...]."""
    return x[:, count - 1 :: count]


def each_token(x: Tensor, count: int) -> Tensor:
    """x [B, T, ...] repeated for each of a token's micro-steps: [B, T·m, ...]."""
    return x if count == 1 else x.repeat_interleave(count, 1)
