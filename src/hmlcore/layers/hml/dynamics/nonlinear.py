"""Oscillators in nonlinear potentials, token by token: log cosh wells, or wells and a small network.

Each is ``quad`` where Q is small or the network is silent. No phase that turns value pairs commutes with a
nonlinear force, so these have no rotating heads.
"""

import math
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.layers.hml.dynamics.network import Network
from hmlcore.layers.hml.dynamics.quad import Quad
from hmlcore.ops import nonlinear as ops

BEND = 4 / (3 * math.sqrt(3))  # the largest |tanh″|
# h at the start. Where it is 1, as for quad, tokens that choose their Δ drive sep into chaos, and its gradient
# overflows within 4,096 tokens; with 1/4 it is flat (ops/nonlinear/README.md).
STEP = 1 / 4


class NonlinearCoefficients(NamedTuple):
    """A token's arguments of the op over [B, T, H, ...], and what is the same for all: μ and the network."""

    log_alpha: Tensor
    beta: Tensor
    drift: Tensor
    pull: Tensor
    mu: Tensor  # [H, N]
    push: Tensor | None = None
    net: ops.Net | None = None

    def map(self, function) -> "NonlinearCoefficients":
        """The same with `function` applied to what every token has its own of."""
        push = None if self.push is None else function(self.push)
        tokens = (function(x) for x in (self.log_alpha, self.beta, self.drift, self.pull))
        return NonlinearCoefficients(*tokens, mu=self.mu, push=push, net=self.net)


def soften(omega: Tensor, dt: Tensor, bend: Tensor | float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    r"""Kick–drift–kick of length Δ for H = ½Σω_n p_n² + V: drift Δω, pull (Δ/2)κω and push (Δ/2)κ_min, where

        κ_n = 1/(1 + (Δ/2)²(ω_n² + B))

    weakens V's wells (stiffness ω_n at most) and κ_min, that of the largest ω, its network, which bends by B
    at most. Then Δ² times the largest curvature, as seen by p, is at most 4x/(1 + x) < 4, with
    x = (Δ/2)²(ω_max² + B): below the bound of stability for every Δ and ω.

    Args: omega [H, N], dt [B, T, H], bend [H].  Returns: [B, T, H, N] twice, and [B, T, H].
    """
    bend = torch.as_tensor(bend, dtype=omega.dtype, device=omega.device)[..., None]
    s = dt[..., None] / 2
    kappa = 1 / (1 + s * s * (omega * omega + bend))
    return 2 * s * omega, s * kappa * omega, (s * kappa.amin(-1, keepdim=True)).squeeze(-1)


class Nonlinear(Quad):
    """What ``sep``, ``mlp`` and ``kick`` share: gates and parameters of ``quad``, and a smaller h."""

    turns_with_values: ClassVar = False
    step_size: ClassVar = STEP


class Sep(Nonlinear):
    r"""Of every key and value channel, one oscillator with H = ω_n(½p² + log cosh q), one step a token:

        (Q, P) ← α_t · kick–drift–kick of Δ_t;   P ← P + β_t k_t v_tᵀ;   o = r_tᵀ(Q + μP)

    ω_n, Δ_t, μ and the gates are those of ``quad``, which this is while |Q| ≪ 1; where Q is large the force
    is constant, and the frequency falls with the amplitude A: ω(1 − A²/8 + …).
    Source of separable wells read one by one: UnICORNN (arXiv 2103.05487), with keys and values here.
    """

    def coefficients(self, x, log_alpha, raw):
        beta, dt, omega = self.strikes(x, raw)
        drift, pull, _ = soften(omega, dt)
        c = NonlinearCoefficients(log_alpha, beta, drift, pull, self.mu.to(x.dtype))
        return c, {"beta": beta, "alpha": log_alpha.exp(), "dt": dt}

    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        return ops.nonlinear(r, k, v, *c, initial_state=memory, output_final_state=True, cu_seqlens=cu_seqlens)

    def advance(self, r, k, v, c, memory):
        return ops.nonlinear_step(r, k, v, *c, memory)

    def potential(self, q):
        # log cosh q without overflow.
        size = q.abs()
        wells = size + F.softplus(-2 * size) - math.log(2)
        return (self.log_omega.to(q.dtype).exp() * wells.sum(-1)).sum(-1)


class Mlp(Sep):
    r"""Of every value channel, a column q of N oscillators in a potential that the head learns,

        H = ½Σω_n p_n² + ½Σω_n q_n² + outᵀtanh(Wq + b),     W [M, N] with M = N,

    moved, written and read as ``sep``. The two parts of the force are weakened as :func:`soften` says, with
    B = max|tanh″|·Σ_m |out_m| Σ_n ω_n W_mn² of the network. The quadratic wells bound V from below.
    """

    def __init__(self, d_model: int, num_heads: int, head_dim: int):
        super().__init__(d_model, num_heads, head_dim)
        self.net = Network(num_heads, head_dim)

    def multiply_adds(self):
        return 2 * self.net.multiply_adds(self.head_dim)  # two forces a token

    def coefficients(self, x, log_alpha, raw):
        beta, dt, omega = self.strikes(x, raw)
        net = self.net.tensors(x.dtype)
        bend = BEND * (net.out.abs() * (net.weight.square() * omega[:, None]).sum(-1)).sum(-1)
        drift, pull, push = soften(omega, dt, bend)
        c = NonlinearCoefficients(log_alpha, beta, drift, pull, self.mu.to(x.dtype), push, net)
        return c, {"beta": beta, "alpha": log_alpha.exp(), "dt": dt}

    def potential(self, q):
        return Quad.potential(self, q) + self.net.energy(q)
