"""The Hamiltonian Memory Layer: a matrix memory with position and momentum, moved one step a token."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.errors import require, unknown
from hmlcore.layers.base import Mixer, conv_weight, no_decay, split_heads
from hmlcore.layers.hml.check import check_choices, check_gates, check_operand, check_state
from hmlcore.layers.hml.dynamics.base import Dynamics
from hmlcore.layers.hml.dynamics.delta import Delta
from hmlcore.layers.hml.dynamics.kick import Kick, KickState
from hmlcore.layers.hml.dynamics.leapfrog import Stepped
from hmlcore.layers.hml.dynamics.nonlinear import Mlp, Nonlinear, Sep
from hmlcore.layers.hml.dynamics.oscillator import Oscillator
from hmlcore.layers.hml.dynamics.quad import Quad
from hmlcore.layers.hml.rotation import RotatingState, Rotation, rotate_last
from hmlcore.layers.hml.trace import record
from hmlcore.ops import hamiltonian as ops
from hmlcore.ops.packing import at_ends, check_cu_seqlens
from hmlcore.ops.short_conv import short_conv

FAMILY: dict[str, Dynamics] = {
    "leapfrog": Stepped(ops.leapfrog),
    "euler": Stepped(ops.euler),
    "delta": Delta(),
    "oscillator": Oscillator(),
    "quad": Quad(),
    "sep": Sep(),
    "mlp": Mlp(),
    "kick": Kick(),
}
DYNAMICS = ("leapfrog", "euler", "delta")  # those of the Hamiltonian op
THETA = ("head", "token", "few")


class HMLState(NamedTuple):
    """S = (Q, P) [B, H, p, N, D] in fp32, and the short convolution's inputs [B, conv_size − 1, H(2N + D)]."""

    memory: Tensor
    conv: Tensor


State = HMLState | RotatingState | KickState


class HML(Mixer):
    r"""Per head, a state S = (Q, P) of two N×D matrices. Token t forgets by α, then takes one step of

        H_t(Q, P) = ½‖P‖² + ½ β_t‖k_tᵀQ − v_tᵀ‖²      with friction γ_t at the kick,

    by drift–kick–drift leapfrog of size h, and reads o_t = r_tᵀ(Q + μP). That is the layer as first proposed,
    `dynamics` "leapfrog"; the default is the exact flow of an oscillator about the association, which won
    the bake-off of the family (`experiments.bakeoff`): S ← αS, S ← S − (1 − ρe^{iθ}) k(kᵀS − vᵀ), ρ = 1 − β.

        r, k, v = SiLU(conv(W x)), ‖r‖ = ‖k‖ = 1;   β = σ(w_β·x − 2)
        γ = σ(w_γ·x − 2);   α = exp(−a·softplus(w_α·x − 4)), a = 0.05 e^A;   h = e^ℓ
        y = W_o(RMSNorm_head(o) ⊙ SiLU(W_g x))

    Args:
        d_model: width of the residual stream.
        num_heads: H. head_dim: N = D, d_model / num_heads if None.
        dynamics: "leapfrog"; "euler" (symplectic Euler, as momentum delta rules); "delta" (one row, the
            over-damped limit: the gated delta rule); "oscillator" (one row, value pairs turned about the
            association by its exact flow); "quad" (fixed wells that keys strike); "sep" (such wells of
            log cosh); "mlp" (quad's wells and a small network for the potential, one token after another);
            "kick" (quad, which the network kicks once in 16 tokens).
        conv_size: taps of the causal depthwise convolution on r, k and v.
        rotation_heads: how many of the heads, the last ones, turn their value pairs by a phase that
            each token chooses, and never forget (α = 1): counters and clocks. A minority is enough.
            None with "sep", "mlp" and "kick", whose forces no such phase commutes with.
        damping: None, each token chooses how much is lost; a number in (0, 1], it is that for every token, γ of
            the leapfrog and of Euler, ρ of the oscillator, and nothing else decays: α = 1. 1 is undamped.
        step_size: h at the start, for the leapfrog and Euler; h is learned.
        injection: where a token's error is written, for these: by the kick to the "momentum" alone, or to
            "both", to the position as the delta rule does too.
        theta: where the oscillator's angle comes from: learned for each "head", from each "token", or from
            each token in a "few" heads, the last quarter of them, while the others keep θ = 0.
    State: p·H·N·D floats, p = 2 (1 for delta and oscillator), and a phase for each rotating head; for
    "kick" one more, the place in its chunk.
    Sequences of different lengths: padding at the right end changes no output before it, but the state has
    seen it. :func:`hmlcore.ops.packing.pack` takes the padding away, and packed sequences (`cu_seqlens`)
    leave the state of each at its own end.
    """

    name = "hml"
    packs = True

    def __init__(
        self,
        d_model: int,
        num_heads: int = 4,
        head_dim: int | None = None,
        dynamics: str = "oscillator",
        conv_size: int = 4,
        rotation_heads: int = 0,
        theta: str = "few",
        damping: float | None = None,
        step_size: float = 1.0,
        injection: str = "momentum",
    ):
        super().__init__(d_model)
        if dynamics not in FAMILY:
            raise unknown("dynamics", dynamics, FAMILY)
        if theta not in THETA:
            raise unknown("theta", theta, THETA)
        self.dynamics, self.num_heads, self.theta_from = dynamics, num_heads, theta
        self.head_dim = split_heads(d_model, num_heads) if head_dim is None else head_dim
        require(self.head_dim >= 1, f"head_dim must be at least 1, got {head_dim}")
        require(
            0 <= rotation_heads <= num_heads,
            f"rotation_heads must be between 0 and num_heads = {num_heads}, got {rotation_heads}",
        )
        self.rule = FAMILY[dynamics]
        require(
            not rotation_heads or not isinstance(self.rule, Nonlinear),
            f"rotation_heads must be 0 with dynamics={dynamics!r}, whose forces are not linear, "
            f"got {rotation_heads}",
        )
        self.damping, self.step_size, self.injection = damping, step_size, injection
        check_choices(self, isinstance(self.rule, Stepped), isinstance(self.rule, Oscillator))
        self.rows = self.rule.rows
        require(
            self.head_dim % 2 == 0 or not (rotation_heads or self.rule.pairs),
            f"head_dim must be even to hold pairs of value channels, got {self.head_dim}",
        )
        inner = num_heads * self.head_dim
        self.in_proj = nn.Linear(d_model, 3 * inner, bias=False)
        self.conv = conv_weight(3 * inner, conv_size)
        # One scalar a head and token for each gate of the dynamics.
        self.gate_proj = nn.Linear(d_model, len(self.rule.gates) * num_heads)
        self.log_a = no_decay(nn.Parameter(torch.zeros(num_heads)))
        self.rule.add_parameters(self)
        self.norm = nn.RMSNorm(self.head_dim, eps=1e-5)
        self.out_gate = nn.Linear(d_model, inner, bias=False)
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        self.rotation = Rotation(d_model, rotation_heads) if rotation_heads else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gate biases that begin as a slow writer with a long memory: β ≈ γ ≈ .12, α ≈ .999.

        These starting points decide more than the choice of dynamics does.
        """
        with torch.no_grad():
            biases = self.gate_proj.bias.view(-1, self.num_heads)
            for bias, start in zip(biases, self.rule.gates.values(), strict=True):
                bias.fill_(start)

    def coefficients(self, x: Tensor) -> tuple[NamedTuple, dict[str, Tensor]]:
        """The token-wise linear maps of x [B, T, d_model], in fp32, and the named gates [B, T, H]."""
        # Autocast would round α ≈ 1 − 1e-3 to 1: gates are computed in full precision.
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.gate_proj.weight, self.gate_proj.bias
            wide = torch.promote_types(x.dtype, torch.float32)
            gates = F.linear(x.to(wide), weight.to(wide), bias.to(wide))
            gates = gates.unflatten(-1, (-1, self.num_heads))
            check_gates(gates, self.rule.gates)
            raw = dict(zip(self.rule.gates, gates.unbind(-2), strict=True))
            log_alpha = -0.05 * self.log_a.to(wide).exp() * F.softplus(raw["alpha"])
            if self.rotation is not None:
                keep = self.num_heads - self.rotation.heads
                log_alpha = F.pad(log_alpha[..., :keep], (0, self.rotation.heads))
            if self.damping is not None:
                log_alpha = torch.zeros_like(log_alpha)
            return self.rule.coefficients(self, x.to(wide), log_alpha, raw)

    def _project(self, x: Tensor, conv: Tensor, bounds: list[int] | None = None) -> tuple[Tensor, ...]:
        mixed, conv = short_conv(self.in_proj(x), self.conv, conv, bounds)
        rk, v = F.silu(mixed).unflatten(-1, (3, self.num_heads, self.head_dim)).split((2, 1), 2)
        r, k = F.normalize(rk, dim=-1).unbind(2)
        return r, k, v.squeeze(2), conv

    def _read_out(self, o: Tensor, x: Tensor) -> Tensor:
        return self.out_proj(self.norm(o).flatten(-2) * F.silu(self.out_gate(x)))

    def _phase(self, x: Tensor, v: Tensor, state: State, bounds=None) -> tuple[Tensor, Tensor | None]:
        """v in the frame that turns along with the rotating heads, and their phases [B, T, R]."""
        if self.rotation is None:
            return v, None
        turns = self.rotation(x, state.phase, bounds)
        return rotate_last(v, -turns), turns

    def _timed(self, coefficients, state: State, bounds=None) -> NamedTuple:
        """What depends on where the sequence stands, of the dynamics that ask."""
        return self.rule.timed(coefficients, state, bounds) if isinstance(self.rule, Kick) else coefficients

    def _turned_back(self, o, memory, conv, turns, coefficients, bounds=None) -> tuple[Tensor, State]:
        if isinstance(self.rule, Kick):
            return o, KickState(memory, conv, self.rule.next_clock(coefficients, bounds))
        if turns is None:
            return o, HMLState(memory, conv)
        return rotate_last(o, turns), RotatingState(memory, conv, at_ends(turns, bounds))

    def forward(
        self, x: Tensor, state: State | None = None, cu_seqlens: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, State]:
        """Mix x [B, T, d_model] over time, starting from `state` (None: an empty memory).

        Args: cu_seqlens, [S + 1] bounds of S sequences packed along T (then B = 1, and states hold S
            sequences in the place of the batch); none sees another. ``torch.compile`` needs them as a list.
        Raises: HmlcoreError naming the argument whose shape, dtype, device or value does not fit.
        """
        self._check_input(x)
        check_operand(x, self.in_proj.weight)
        bounds = None if cu_seqlens is None else check_cu_seqlens(cu_seqlens, *x.shape[:2])
        sequences = x.shape[0] if bounds is None else len(bounds) - 1
        if state is None:
            state = self.init_state(sequences, x.device, x.dtype)
        memory = check_state(state, self.state_shapes(sequences), x)
        r, k, v, conv = self._project(x, state.conv, bounds)
        v, turns = self._phase(x, v, state, bounds)
        coefficients, gates = self.coefficients(x)
        coefficients = self._timed(coefficients, state, bounds)
        o, end = self.rule.scan(r, k, v, coefficients, memory, cu_seqlens=bounds)
        if self.trace is not None:
            follow = self.trace.differentiable and torch.is_grad_enabled()
            with torch.set_grad_enabled(follow), torch.autocast(x.device.type, enabled=False):
                record(self, r, k, v, coefficients, gates, memory, turns, bounds)
        o, state = self._turned_back(o, end, conv, turns, coefficients, bounds)
        return self._read_out(o, x), state

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        self._check_input(x, 2)
        check_operand(x, self.in_proj.weight)
        memory = check_state(state, self.state_shapes(len(x)), x)
        x = x[:, None]
        r, k, v, conv = self._project(x, state.conv)
        v, turns = self._phase(x, v, state)
        coefficients = self._timed(self.coefficients(x)[0], state)
        now = coefficients.map(lambda c: c[:, 0])
        o, memory = self.rule.advance(*(y[:, 0].to(memory.dtype) for y in (r, k, v)), now, memory)
        o, state = self._turned_back(o.to(v.dtype)[:, None], memory, conv, turns, coefficients)
        return self._read_out(o, x)[:, 0], state

    def state_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """The parts of the state of `batch` sequences, and their shapes."""
        shapes = {
            "memory": (batch, self.num_heads, self.rows, self.head_dim, self.head_dim),
            "conv": (batch, self.conv.shape[1] - 1, self.conv.shape[0]),
        }
        if isinstance(self.rule, Kick):
            shapes["clock"] = (batch,)
        if self.rotation is not None:
            shapes["phase"] = (batch, self.rotation.heads)
        return shapes

    def init_state(self, batch, device=None, dtype=None) -> State:
        wide = torch.promote_types(dtype or self.in_proj.weight.dtype, torch.float32)
        parts = {
            name: torch.zeros(shape, device=device, dtype=dtype if name == "conv" else wide)
            for name, shape in self.state_shapes(batch).items()
        }
        kind = KickState if "clock" in parts else RotatingState if "phase" in parts else HMLState
        return kind(**parts)

    def state_size(self, length: int) -> int:
        memory = self.rows * self.num_heads * self.head_dim**2
        phases = self.rotation.heads if self.rotation is not None else 0
        clock = int(isinstance(self.rule, Kick))
        return memory + phases + clock + (self.conv.shape[1] - 1) * self.conv.shape[0]

    def flops_per_token(self, length: int) -> float:
        # Every matrix is applied once, the taps of the convolution among them.
        projections = sum(p.numel() for p in self.parameters() if p.ndim == 2)
        # Per row and head: predict, move, write and read touch N·D entries once each.
        network = self.rule.multiply_adds(self) if isinstance(self.rule, Nonlinear) else 0
        return 2 * (projections + 4 * self.rows * self.num_heads * self.head_dim**2 + network)

    @property
    def output_projections(self) -> list[nn.Linear]:
        return [self.out_proj]
