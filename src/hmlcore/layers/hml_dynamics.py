"""What a token does to the memory of an HML head, for every member of the family.

A :class:`Dynamics` names the gates that it asks for, turns them into coefficients over [B, T, ...], and
runs those over a sequence or for one token. It keeps nothing: parameters belong to the layer.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.layers.base import no_decay
from hmlcore.ops import hamiltonian as stepped
from hmlcore.ops import oscillator as turned

Named = dict[str, Tensor]


class Dynamics(ABC):
    """One way to move a memory S [B, H, p, N, D]; coefficients have a method ``map`` over their tensors."""

    rows: ClassVar[int] = 2  # p
    pairs: ClassVar[bool] = False  # value channels come in pairs, so D must be even
    # Scalars a head and token, in the order of `gate_proj`, with the biases they start from.
    gates: ClassVar[dict[str, float]]

    def add_parameters(self, layer: nn.Module) -> None:  # noqa: B027  not all learn more
        """Give `layer` what the dynamics learn beside the gates."""

    @abstractmethod
    def coefficients(
        self, layer: nn.Module, x: Tensor, log_alpha: Tensor, raw: Named
    ) -> tuple[NamedTuple, Named]:
        """Coefficients and named gates from x [B, T, d_model] and the gates before their nonlinearity,
        all in fp32 at least."""

    @abstractmethod
    def scan(
        self, r: Tensor, k: Tensor, v: Tensor, c: Any, memory: Tensor, cu_seqlens: list[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        """A sequence: o [B, T, H, D] and the last memory.

        With `cu_seqlens`, already checked, S sequences are packed along T (then B = 1): memories are
        [S, H, p, N, D], and no sequence sees another.
        """

    @abstractmethod
    def advance(self, r: Tensor, k: Tensor, v: Tensor, c: Any, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One token, without the time dimension: o [B, H, D] and the memory."""

    def error(self, k: Tensor, v: Tensor, c: Any, memory: Tensor) -> Tensor:
        """What `k` recalls, less `v`: [B, H, D], before the token is written."""
        return torch.einsum("bhn,bhnd->bhd", k, memory[:, :, 0]) - v

    def energies(self, layer: nn.Module, k: Tensor, v: Tensor, gates: Named, path: Tensor) -> Named:
        """The energies of the path [B, T, H, p, N, D]: ½β‖kᵀQ − v‖², and ½‖P‖² with two rows."""
        after = torch.einsum("bthn,bthnd->bthd", k, path[:, :, :, 0]) - v
        energies = {"potential": 0.5 * gates["beta"] * after.square().sum(-1)}
        if self.rows == 2:
            energies["kinetic"] = 0.5 * path[:, :, :, 1].square().sum((-2, -1))
        return energies


class _Addressed(Dynamics):
    """The potential ½β‖kᵀQ − vᵀ‖² of the token's association, moved by the Hamiltonian op."""

    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        return stepped.hamiltonian(
            r, k, v, c, initial_state=memory, output_final_state=True, cu_seqlens=cu_seqlens
        )

    def advance(self, r, k, v, c, memory):
        return stepped.hamiltonian_step(r, k, v, c, memory)

    def error(self, k, v, c, memory):
        return torch.einsum("bhp,bhn,bhpnd->bhd", c.c, k, memory) - v


class Stepped(_Addressed):
    """A phase-space pair moved by one integrator step: leapfrog or symplectic Euler."""

    gates: ClassVar = {"beta": -2.0, "alpha": -4.0, "gamma": -2.0}

    def __init__(self, step):
        self.step = step

    def add_parameters(self, layer):
        layer.log_h = no_decay(nn.Parameter(torch.full((layer.num_heads,), math.log(layer.step_size))))
        layer.mu = no_decay(nn.Parameter(torch.zeros(layer.num_heads)))

    def coefficients(self, layer, x, log_alpha, raw):
        beta, log_gamma = raw["beta"].sigmoid(), F.logsigmoid(raw["gamma"])
        if layer.damping is not None:
            log_gamma = torch.full_like(log_gamma, math.log(layer.damping))
        h, mu = layer.log_h.to(x.dtype).exp(), layer.mu.to(x.dtype)
        named = {"beta": beta, "alpha": log_alpha.exp(), "gamma": log_gamma.exp()}
        c = self.step(log_alpha, log_gamma, beta, h, mu)
        if layer.injection == "both":  # the delta rule's write to Q beside the kick's to P
            c = c._replace(e=c.e + torch.stack((beta, torch.zeros_like(beta)), -1))
        return c, named


class Delta(_Addressed):
    """One row, the over-damped limit: the gated delta rule."""

    rows: ClassVar = 1
    gates: ClassVar = {"beta": -2.0, "alpha": -4.0}

    def coefficients(self, layer, x, log_alpha, raw):
        beta = raw["beta"].sigmoid()
        return stepped.delta(log_alpha, beta), {"beta": beta, "alpha": log_alpha.exp()}


class Turns(NamedTuple):
    """Of the addressed oscillator, [B, T, H] each."""

    log_alpha: Tensor
    log_rho: Tensor
    theta: Tensor

    def map(self, function) -> "Turns":
        """The same with `function` applied to each."""
        return Turns(*map(function, self))


class Oscillator(Dynamics):
    """One complex row in value pairs, turned about the association by its exact flow ρe^{iθ}; ρ = 1 − β.

    θ begins at 0, where this is the delta rule. With ``theta="head"`` it is one learned angle a head, with
    ``"token"`` it is π·tanh(w·x / 10): the tenth makes its learning rate small under Adam. ``"few"`` confines
    that to the last quarter of the heads, at least one; in the others θ stays 0, the delta rule.
    """

    rows: ClassVar = 1
    pairs: ClassVar = True
    gates: ClassVar = {"beta": -2.0, "alpha": -4.0}

    def add_parameters(self, layer):
        heads = max(1, layer.num_heads // 4) if layer.theta_from == "few" else layer.num_heads
        shape = (heads,) if layer.theta_from == "head" else (heads, layer.d_model)
        layer.theta = no_decay(nn.Parameter(torch.zeros(shape)))

    def coefficients(self, layer, x, log_alpha, raw):
        theta, log_rho = layer.theta.to(x.dtype), F.logsigmoid(-raw["beta"])
        if layer.damping is not None:
            log_rho = torch.full_like(log_rho, math.log(layer.damping))
        if theta.ndim == 2:
            theta = torch.pi * torch.tanh(0.1 * F.linear(x, theta))
            theta = F.pad(theta, (layer.num_heads - theta.shape[-1], 0))
        theta = theta.expand_as(log_rho)
        named = {"beta": -torch.expm1(log_rho), "alpha": log_alpha.exp(), "theta": theta}
        return Turns(log_alpha, log_rho, theta), named

    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        o, end = turned.oscillator(
            r, k, v, *c, initial_state=memory.squeeze(2), output_final_state=True, cu_seqlens=cu_seqlens
        )
        return o, end[:, :, None]

    def advance(self, r, k, v, c, memory):
        o, memory = turned.oscillator_step(r, k, v, *c, memory.squeeze(2))
        return o, memory[:, :, None]

    def error(self, k, v, c, memory):
        return torch.einsum("bh,bhn,bhnd->bhd", c.log_alpha.exp(), k, memory[:, :, 0]) - v
