r"""Coefficients: what one token does to the memory, whatever the dynamics.

Every variant is linear in the state with a rank-one correction (`README.md` beside this file):

    z_t = c_tᵀ(k_tᵀ S_{t−1}) − v_t                      prediction error
    S_t = (G_t ⊗ I) S_{t−1} − e_t ⊗ k_t z_tᵀ
    o_t = f_tᵀ(r_tᵀ S_t)

with G = α for one row (p = 1) and G = α [[1, a], [0, γ]] for a phase-space pair (p = 2).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Coefficients(NamedTuple):
    """One token's linear map, for p = 1 (`log_gamma` and `drift` are None) or p = 2 rows.

    Shapes: the scalars [B, T, H]; `c`, `e`, `f` [B, T, H, p]. `memory` of `chunk.py`, behind the oscillator's
    form, also takes an `e` of one row that is complex and turns pairs of value channels, Re e and Im e:
    [B, T, H, 2]; the checked forms refuse it.
    """

    log_alpha: Tensor  # log α ≤ 0: forgetting
    log_gamma: Tensor | None  # log γ ≤ 0: friction
    drift: Tensor | None  # a, the (1, 2) entry of G/α: how far the momentum carries the position
    c: Tensor  # what the prediction reads
    e: Tensor  # where the error is written
    f: Tensor  # what the output reads

    @property
    def rows(self) -> int:
        """p: 1 for a plain matrix memory, 2 for a phase-space pair (Q, P)."""
        return self.c.shape[-1]

    @property
    def turning(self) -> bool:
        """Whether `e` is complex."""
        return self.e.shape[-1] > self.rows

    @property
    def present(self) -> list[Tensor]:
        """The tensors that there are: what an operator of torch is given."""
        return [x for x in self if x is not None]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "Coefficients":
        """From the tensors that there are."""
        log_alpha, *rest, c, e, f = tensors
        log_gamma, drift = rest or (None, None)
        return cls(log_alpha, log_gamma, drift, c, e, f)

    def map(self, function) -> "Coefficients":
        """The same coefficients with `function` applied to every tensor."""
        found: list[Any] = [None if x is None else function(x) for x in self]
        return Coefficients(*found)


def _stack(*entries: Tensor) -> Tensor:
    return torch.stack(torch.broadcast_tensors(*entries), dim=-1)


def leapfrog(log_alpha: Tensor, log_gamma: Tensor, beta: Tensor, h: Tensor, mu: Tensor) -> Coefficients:
    """Drift, kick, drift with friction at the kick (velocity-free leapfrog, Störmer–Verlet form).

        Q, P ← αQ, αP;  Q ← Q + (h/2)P;  P ← γP − hβ k(kᵀQ − vᵀ);  Q ← Q + (h/2)P

    Args:
        log_alpha, log_gamma, beta: [B, T, H].
        h, mu: anything that broadcasts to [B, T, H]; step size h > 0, momentum share of the read μ.
    Source: Hairer, Lubich and Wanner, Geometric Numerical Integration, I.1.4.
    """
    alpha, gamma = log_alpha.exp(), log_gamma.exp()
    return Coefficients(
        log_alpha,
        log_gamma,
        (h / 2) * (1 + gamma),
        c=_stack(alpha, alpha * h / 2),
        e=_stack(beta * h * h / 2, beta * h),
        f=_stack(torch.ones_like(alpha), mu),
    )


def euler(log_alpha: Tensor, log_gamma: Tensor, beta: Tensor, h: Tensor, mu: Tensor) -> Coefficients:
    """Symplectic Euler (kick, then drift), the update of momentum delta rules.

        Q, P ← αQ, αP;  P ← γP − hβ k(kᵀQ − vᵀ);  Q ← Q + hP

    Arguments as :func:`leapfrog`.
    """
    alpha, gamma = log_alpha.exp(), log_gamma.exp()
    return Coefficients(
        log_alpha,
        log_gamma,
        h * gamma,
        c=_stack(alpha, torch.zeros_like(alpha)),
        e=_stack(beta * h * h, beta * h),
        f=_stack(torch.ones_like(alpha), mu),
    )


def delta(log_alpha: Tensor, beta: Tensor) -> Coefficients:
    """The over-damped limit, one row: the gated delta rule S ← αS − β k(α kᵀS − vᵀ).

    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks (arXiv 2412.06464).
    """
    alpha = log_alpha.exp()[..., None]
    return Coefficients(log_alpha, None, None, c=alpha, e=beta[..., None], f=torch.ones_like(alpha))
