"""Oscillators in nonlinear potentials, token by token: log cosh wells, or wells and a small network.

Each is :class:`~.quad.Quad` where Q is small or the network is silent. No phase that turns
value pairs commutes with a nonlinear force, so these have no rotating heads.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.layers.base import no_decay
from hmlcore.layers.hml.dynamics.quad import Quad
from hmlcore.ops import nonlinear as ops

BEND = 4 / (3 * math.sqrt(3))  # the largest |tanh″|
# h at the start. Where it is 1, as for quad, tokens that choose their Δ drive sep into chaos, and its gradient
# overflows within 4,096 tokens; with 1/4 it is flat (ops/nonlinear/README.md).
STEP = 1 / 4
LOUDNESS = 0.1  # of the network at the start, beside wells of stiffness 1


class Motion(NamedTuple):
    """A token's arguments of the op over [B, T, H, ...], and what is the same for all: μ and the network."""

    log_alpha: Tensor
    beta: Tensor
    drift: Tensor
    pull: Tensor
    mu: Tensor  # [H, N]
    push: Tensor | None = None
    net: ops.Net | None = None

    def map(self, function) -> "Motion":
        """The same with `function` applied to what every token has its own of."""
        push = None if self.push is None else function(self.push)
        tokens = (function(x) for x in (self.log_alpha, self.beta, self.drift, self.pull))
        return Motion(*tokens, self.mu, push, self.net)


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
    """What ``sep``, ``mlp`` and ``kick`` share: gates and parameters of ``quad``, a smaller h, and energies."""

    def add_parameters(self, layer):
        super().add_parameters(layer)
        with torch.no_grad():
            layer.log_h.fill_(math.log(STEP))

    def multiply_adds(self, layer: nn.Module) -> float:
        """Of a token's network, beyond what two rows of state cost anyway."""
        return 0.0

    def potential(self, layer: nn.Module, q: Tensor) -> Tensor:
        """V of every head, [..., H], at q [..., H, N, D]: the quadratic wells."""
        return 0.5 * (layer.log_omega.to(q.dtype).exp() * q.square().sum(-1)).sum(-1)

    def energies(self, layer, k, v, gates, path):
        """Of H = ½Σω p² + V, its two terms."""
        q, p = path.unbind(3)
        kinetic = 0.5 * (layer.log_omega.to(path.dtype).exp() * p.square().sum(-1)).sum(-1)
        return {"potential": self.potential(layer, q), "kinetic": kinetic}


class Sep(Nonlinear):
    r"""Of every key and value channel, one oscillator with H = ω_n(½p² + log cosh q), one step a token:

        (Q, P) ← α_t · kick–drift–kick of Δ_t;   P ← P + β_t k_t v_tᵀ;   o = r_tᵀ(Q + μP)

    ω_n, Δ_t, μ and the gates are those of ``quad``, which this is while |Q| ≪ 1; where Q is large the force
    is constant, and the frequency falls with the amplitude A: ω(1 − A²/8 + …).
    Source of separable wells read one by one: UnICORNN (arXiv 2103.05487), with keys and values here.
    """

    def coefficients(self, layer, x, log_alpha, raw):
        beta, dt, omega = _clock(layer, x, raw)
        drift, pull, _ = soften(omega, dt)
        motion = Motion(log_alpha, beta, drift, pull, layer.mu.to(x.dtype))
        return motion, {"beta": beta, "alpha": log_alpha.exp(), "dt": dt}

    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        return ops.nonlinear(r, k, v, *c, initial_state=memory, output_final_state=True, cu_seqlens=cu_seqlens)

    def advance(self, r, k, v, c, memory):
        return ops.nonlinear_step(r, k, v, *c, memory)

    def potential(self, layer, q):
        # log cosh q without overflow.
        size = q.abs()
        wells = size + F.softplus(-2 * size) - math.log(2)
        return (layer.log_omega.to(q.dtype).exp() * wells.sum(-1)).sum(-1)


class Mlp(Sep):
    r"""Of every value channel, a column q of N oscillators in a potential that the head learns,

        H = ½Σω_n p_n² + ½Σω_n q_n² + outᵀtanh(Wq + b),     W [M, N] with M = N,

    moved, written and read as ``sep``. The two parts of the force are weakened as :func:`soften` says, with
    B = max|tanh″|·Σ_m |out_m| Σ_n ω_n W_mn² of the network. The quadratic wells bound V from below.
    """

    def add_parameters(self, layer):
        super().add_parameters(layer)
        add_network(layer)

    def multiply_adds(self, layer):
        # Two forces a token, each W and its transpose times N × D.
        return 4 * layer.well_weight.numel() * layer.head_dim

    def coefficients(self, layer, x, log_alpha, raw):
        beta, dt, omega = _clock(layer, x, raw)
        net = network(layer, x.dtype)
        bend = BEND * (net.out.abs() * (net.weight.square() * omega[:, None]).sum(-1)).sum(-1)
        drift, pull, push = soften(omega, dt, bend)
        motion = Motion(log_alpha, beta, drift, pull, layer.mu.to(x.dtype), push, net)
        return motion, {"beta": beta, "alpha": log_alpha.exp(), "dt": dt}

    def potential(self, layer, q):
        return Nonlinear.potential(self, layer, q) + network_energy(layer, q)


def _clock(layer, x: Tensor, raw) -> tuple[Tensor, Tensor, Tensor]:
    """β and Δ [B, T, H] and ω [H, N], as ``quad`` has them."""
    dt = layer.log_h.to(x.dtype).exp() * 2 * raw["dt"].sigmoid()
    return raw["beta"].sigmoid(), dt, layer.log_omega.to(x.dtype).exp()


def add_network(layer: nn.Module) -> None:
    """Give `layer` a network for each head, with M = N hidden units."""
    heads, n = layer.num_heads, layer.head_dim
    layer.well_weight = no_decay(nn.Parameter(n**-0.5 * torch.randn(heads, n, n)))
    layer.well_bias = no_decay(nn.Parameter(torch.zeros(heads, n)))
    layer.well_out = no_decay(nn.Parameter(LOUDNESS * n**-0.5 * torch.randn(heads, n)))


def network(layer: nn.Module, dtype: torch.dtype) -> ops.Net:
    """The networks of `layer`."""
    return ops.Net(layer.well_weight.to(dtype), layer.well_bias.to(dtype), layer.well_out.to(dtype))


def network_energy(layer: nn.Module, q: Tensor) -> Tensor:
    """outᵀtanh(WQ + b) of every head, [..., H], at q [..., H, N, D]."""
    net = network(layer, q.dtype)
    hidden = (net.weight @ q + net.bias[..., None]).tanh()
    return (net.out[..., None] * hidden).sum((-2, -1))
