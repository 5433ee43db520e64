"""LinOSS: a bank of forced harmonic oscillators, undamped, damped by the integrator, or by learning."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_choice, check_int, check_positive
from hmlcore.layers.base import MemoryMixer, MemoryState, conv_weight, uniform
from hmlcore.ops.diagonal_scan import block_scan
from hmlcore.ops.packing import at_ends
from hmlcore.ops.precision import without_autocast
from hmlcore.ops.short_conv import short_conv

DYNAMICS = ("im", "imex", "damped")


@without_autocast
def transition(dynamics: str, a: Tensor, g: Tensor | None, dt: Tensor) -> tuple[Tensor, Tensor]:
    """M and F of (z, y)_t = M (z, y)_{t−1} + F f_t for y″ = −Ay − Gy′ + f, velocity z, position y.

        im      z_t = z_{t−1} + Δ(−A y_t + f_t),                 y_t = y_{t−1} + Δ z_t
        imex    z_t = z_{t−1} + Δ(−A y_{t−1} + f_t),             y_t = y_{t−1} + Δ z_t
        damped  z_t = z_{t−1} + Δ(−A y_{t−1} − G z_t + f_t),     y_t = y_{t−1} + Δ z_t

    Args: a, g, dt: A, G, Δ [P]; g is read by "damped" only.  Returns: M [P, 2, 2], F [P, 2].
    """
    if dynamics == "im":
        s, drag = 1 + dt**2 * a, 0
    elif dynamics == "damped":
        assert g is not None  # friction is what they have beside the others
        s, drag = 1 + dt * g, dt**2 * a
    else:
        s, drag = torch.ones_like(a), dt**2 * a
    m = torch.stack((1 / s, -dt * a / s, dt / s, 1 / s if dynamics == "im" else 1 - drag / s), -1)
    return m.unflatten(-1, (2, 2)), torch.stack((dt / s, dt**2 / s), -1)


class LinOSS(MemoryMixer):
    r"""P complex oscillators y″ = −Ay − Gy′ + Bu, advanced by one step of size Δ a token, and a gated
    readout:

        u = SiLU(conv(x));   v = GELU(Re(C y) + D u);   out = (W₁v + b₁) ∘ σ(W₂v + b₂)

    Δ = σ(Δ̂) and A ≥ 0 are learned per oscillator and do not depend on the token. :func:`transition`
    has the steps: "im" dissipates by its implicit step, |λ|² = 1/(1 + Δ²A); "imex" conserves phase-space
    volume, |λ| = 1 while Δ²A ≤ 4; "damped" learns G ≥ 0, |λ|² = 1/(1 + ΔG), A clipped to where λ is complex.

    Args:
        d_model: width of the residual stream.
        d_state: P. dynamics: "im", "imex" or "damped".
        r_min: the damped oscillators start with λ uniform in the half ring r_min ≤ |λ| ≤ 1.
        conv_size: taps of the causal depthwise convolution on x.
    State: 4·P floats, whatever the length: oscillator, real or imaginary part, velocity or position.
    Source: Rusch and Rus (arXiv 2410.03943); Boyer, Rusch and Rus (arXiv 2505.12171).
    """

    name = "linoss"
    no_decay = ("dt", "a", "g")

    def __init__(
        self,
        d_model: int,
        d_state: int = 64,
        dynamics: str = "damped",
        r_min: float = 0.9,
        conv_size: int = 4,
    ):
        super().__init__(d_model)
        d_model = self.d_model
        d_state = check_int("d_state", d_state)
        dynamics = check_choice("dynamics", dynamics, DYNAMICS)
        r_min = check_positive("r_min", r_min, 1)
        self.d_state, self.dynamics, self.memory_shape = d_state, dynamics, (d_state, 2, 2)
        self.conv = conv_weight(d_model, conv_size)
        self.dt = nn.Parameter(0.5 * torch.randn(d_state))
        self.a = nn.Parameter(torch.rand(d_state))
        if dynamics == "damped":
            self.g = nn.Parameter(torch.empty(d_state))
            self._start_on_ring(r_min)
        # Complex matrices as real ones, real and imaginary parts side by side.
        self.b = uniform(2 * d_state, d_model, fan_in=d_model)
        self.c = uniform(d_model, 2 * d_state, fan_in=d_state)
        self.skip = nn.Parameter(torch.randn(d_model))
        self.out_proj = nn.Linear(d_model, d_model)
        self.out_gate = nn.Linear(d_model, d_model)

    def _start_on_ring(self, r_min: float) -> None:
        """A and G whose eigenvalues are re^{±iθ}: det M = r² and tr M = 2r cos θ, solved for both."""
        with torch.no_grad():
            dt = self.dt.sigmoid()
            square = torch.rand(self.d_state) * (1 - r_min**2) + r_min**2
            theta = torch.rand(self.d_state) * math.pi
            self.g.copy_((1 - square) / (dt * square))
            self.a.copy_((1 + square - 2 * square.sqrt() * theta.cos()) / (dt**2 * square))

    def oscillators(self) -> tuple[Tensor, Tensor | None, Tensor]:
        """A, G (None unless damped) and Δ as the steps use them, each [P], fp32 at least."""
        wide = torch.promote_types(self.a.dtype, torch.float32)
        dt = self.dt.to(wide).sigmoid()
        if self.dynamics != "damped":
            return F.relu(self.a.to(wide)), None, dt
        g = F.relu(self.g.to(wide))
        root = (1 + dt * g).sqrt()
        # λ is complex strictly between these.
        return self.a.to(wide).clamp((g / (root + 1)) ** 2, ((root + 1) / dt) ** 2), g, dt

    def forward(self, x: Tensor, state: MemoryState | None = None) -> tuple[Tensor, MemoryState]:
        state = self._begin(x, state)
        x, conv = short_conv(x, self.conv, state.conv)
        u = F.silu(x)
        m, f = transition(self.dynamics, *self.oscillators())
        force = F.linear(u, self.b).unflatten(-1, (self.d_state, 2))  # [B, T, P, re/im]
        path = block_scan(m[None, None, :, None], force[..., None] * f[:, None], state.memory)
        position = path[..., 1] * path.new_tensor((1, -1))  # Re(Cy) = Re C Re y − Im C Im y
        v = F.gelu(F.linear(position.flatten(-2).to(u.dtype), self.c) + self.skip * u)
        y = self.out_proj(v) * torch.sigmoid(self.out_gate(v))
        return y, MemoryState(at_ends(path), conv)

    def flops_per_token(self, length: int) -> float:
        # Per real and imaginary part: a 2×2 product and the force on velocity and position.
        return 2 * (self._projection_work() + 2 * 6 * self.d_state)
