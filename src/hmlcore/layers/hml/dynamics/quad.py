"""Vector oscillators: fixed quadratic wells that keys strike, solved by an exact associative scan."""

import itertools
import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from hmlcore.layers.hml.dynamics.base import Dynamics
from hmlcore.ops.diagonal_scan import block_scan
from hmlcore.ops.finite import check_finite
from hmlcore.ops.packing import own, repack, unpack
from hmlcore.ops.precision import without_autocast

SLOWEST = 1e-3  # ω of the last oscillator at the start; the first has 1


class QuadCoefficients(NamedTuple):
    """A token's motion on (Q, P), and what of it is written and read."""

    matrix: Tensor  # [B, T, H, N, 2, 2]
    beta: Tensor  # [B, T, H]
    mu: Tensor  # [B, T, H, N]

    def map(self, function) -> "QuadCoefficients":
        """The same with `function` applied to each."""
        return QuadCoefficients(*map(function, self))


def free_motion(omega: Tensor, dt: Tensor) -> Tensor:
    r"""One kick–drift–kick step of length Δ for H = ½ω(q² + p²), on (q, p): [..., 2, 2].

    The stiffness is softened to κω, κ = 1/(1 + s²) with s = Δω/2, so that its frequency stays below the
    bound Δω√κ < 2 of stability for every Δ and ω:

        [[1 − 2s²κ, 2s], [−2sκ², 1 − 2s²κ]]      of determinant 1, conserving κ²q² + p²,

    a rotation by 2·arctan s, the angle of the implicit midpoint rule, on an ellipse.
    """
    s = dt * omega / 2
    kappa = 1 / (1 + s * s)
    turn = 1 - 2 * s * s * kappa
    return torch.stack((turn, 2 * s, -2 * s * kappa * kappa, turn), -1).unflatten(-1, (2, 2))


class Quad(Dynamics):
    r"""Of every value channel, N oscillators with H = ½ Σ_n ω_n(Q_n² + P_n²), one step of Δ_t a token:

        (Q, P) ← α_t · kick–drift–kick of Δ_t;   P ← P + β_t k_t v_tᵀ;   o = r_tᵀ(Q + μP)

    Key channels are oscillators: ω_n is learned for each head, spread log-uniformly over [.001, 1] at the
    start, and Δ_t = h·2σ(w·x), h = e^ℓ, is both the step and the clock of a head. Friction acts on Q and
    P alike (conformally symplectic). The scan keeps T copies of the memory: choose small heads.
    Source: the discretised oscillators of LinOSS (arXiv 2410.03943), with coefficients from the input.
    """

    no_decay: ClassVar = ("log_h", "log_omega", "mu")
    gates: ClassVar = {"beta": -2.0, "alpha": -4.0, "dt": 0.0}

    step_size: ClassVar[float] = 1.0  # h at the start

    def __init__(self, d_model: int, num_heads: int, head_dim: int):
        super().__init__(d_model, num_heads, head_dim)
        self.log_h = nn.Parameter(torch.full((num_heads,), math.log(self.step_size)))
        spread = torch.linspace(0, math.log(SLOWEST), head_dim)
        self.log_omega = nn.Parameter(spread.repeat(num_heads, 1))
        # The token itself is in P only, so P is read from the start.
        self.mu = nn.Parameter(torch.ones(num_heads, head_dim))

    def strikes(self, x: Tensor, raw: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """β and Δ [B, T, H] and ω [H, N]."""
        h, omega = self.log_h.to(x.dtype).exp(), self.log_omega.to(x.dtype).exp()
        return raw["beta"].sigmoid(), h * 2 * raw["dt"].sigmoid(), omega

    def coefficients(self, x, log_alpha, raw):
        beta, dt, omega = self.strikes(x, raw)
        alpha, mu = log_alpha.exp(), self.mu.to(x.dtype).expand(*beta.shape, -1)
        matrix = alpha[..., None, None, None] * free_motion(omega, dt[..., None])
        return QuadCoefficients(matrix, beta, mu), {"beta": beta, "alpha": alpha, "dt": dt}

    @without_autocast
    def scan(self, r, k, v, c, memory, cu_seqlens=None):
        check_finite(**{f"coefficients.{name}": x for name, x in c._asdict().items()})
        if cu_seqlens is None:
            o, path = self._path(r, k, v, c, memory)
            return o, own(path[:, -1].movedim(-1, 2))
        # Padded, not reset in between: what is not finite stays in its own sequence.
        r, k, v = (unpack(y, cu_seqlens) for y in (r, k, v))
        o, path = self._path(r, k, v, c.map(lambda y: unpack(y, cu_seqlens)), memory)
        lengths = [b - a for a, b in itertools.pairwise(cu_seqlens)]
        ends = torch.stack([path[i, length - 1] for i, length in enumerate(lengths)])
        return repack(o, cu_seqlens), own(ends.movedim(-1, 2))

    def _path(
        self, r: Tensor, k: Tensor, v: Tensor, c: QuadCoefficients, memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        """o [B, T, H, D] and (Q, P) after every token [B, T, H, N, D, 2]."""
        r, k, v_wide = (y.to(memory.dtype) for y in (r, k, v))
        kick = (c.beta[..., None] * k)[..., None] * v_wide[..., None, :]
        force = torch.stack((torch.zeros_like(kick), kick), -1)
        path = block_scan(c.matrix[:, :, :, :, None], force, memory.movedim(2, -1))
        read = torch.stack((r, r * c.mu), -1)
        return torch.einsum("bthnp,bthndp->bthd", read, path).to(v.dtype), path

    @without_autocast
    def advance(self, r, k, v, c, memory):
        q, p = torch.einsum("bhnij,bhjnd->bhind", c.matrix, memory).unbind(2)
        p = p + torch.einsum("bh,bhn,bhd->bhnd", c.beta, k, v)
        o = torch.einsum("bhn,bhnd->bhd", r, q) + torch.einsum("bhn,bhnd->bhd", r * c.mu, p)
        return o, torch.stack((q, p), 2)

    def potential(self, q: Tensor) -> Tensor:
        """V of every head, [..., H], at q [..., H, N, D]."""
        return 0.5 * (self.log_omega.to(q.dtype).exp() * q.square().sum(-1)).sum(-1)

    def energies(self, k, v, gates, path):
        """Of H = ½Σω p² + V, its two terms."""
        q, p = path.unbind(3)
        kinetic = 0.5 * (self.log_omega.to(path.dtype).exp() * p.square().sum(-1)).sum(-1)
        return {"potential": self.potential(q), "kinetic": kinetic}
