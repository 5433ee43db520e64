"""A pair (Q, P) moved about a token's association by one step of leapfrog or of symplectic Euler."""

import math
from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from hmlcore.checks import check_choice, check_positive
from hmlcore.layers.hml.dynamics.base import Addressed, check_damping, damped
from hmlcore.ops import hamiltonian as ops

INJECTION = ("momentum", "both")
LARGEST_STEP = 100  # no β that a gate can reach in training is stable with a larger one


class Stepped(Addressed):
    r"""H_t(Q, P) = ½‖P‖² + ½ β_t‖k_tᵀQ − v_tᵀ‖², one step of size h with friction γ_t; o = r_tᵀ(Q + μP).

        γ = σ(w_γ·x − 2);   h = e^ℓ and μ learned for each head, μ from 0

    Args:
        damping: None, each token chooses γ; a number in (0, 1], it is γ of every token, and nothing else
            decays: α = 1. 1 is undamped.
        step_size: h at the start.
        injection: where a token's error is written: by the kick to the "momentum" alone, or to "both", to the
            position as the delta rule does too.
    """

    no_decay: ClassVar = ("log_h", "mu")
    gates: ClassVar = {"beta": -2.0, "alpha": -4.0, "gamma": -2.0}
    step: ClassVar[Callable[..., ops.Coefficients]]

    def __init__(
        self, d_model: int, num_heads: int, head_dim: int, *,
        damping: float | None = None, step_size: float = 1.0, injection: str = "momentum",
    ):  # fmt: skip
        super().__init__(d_model, num_heads, head_dim)
        self.damping = check_damping(damping)
        step_size = check_positive("step_size", step_size, LARGEST_STEP)
        self.injection = check_choice("injection", injection, INJECTION)
        self.log_h = nn.Parameter(torch.full((num_heads,), math.log(step_size)))
        self.mu = nn.Parameter(torch.zeros(num_heads))

    def coefficients(self, x, log_alpha, raw):
        beta = raw["beta"].sigmoid()
        log_alpha, log_gamma = damped(self.damping, log_alpha, F.logsigmoid(raw["gamma"]))
        h, mu = self.log_h.to(x.dtype).exp(), self.mu.to(x.dtype)
        named = {"beta": beta, "alpha": log_alpha.exp(), "gamma": log_gamma.exp()}
        c = self.step(log_alpha, log_gamma, beta, h, mu)
        if self.injection == "both":  # the delta rule's write to Q beside the kick's to P
            c = c._replace(e=c.e + torch.stack((beta, torch.zeros_like(beta)), -1))
        return c, named


class Leapfrog(Stepped):
    """Half a drift, a kick, half a drift: the layer as first proposed."""

    step = staticmethod(ops.leapfrog)


class Euler(Stepped):
    """A kick, then a drift: symplectic Euler, as momentum delta rules."""

    step = staticmethod(ops.euler)
