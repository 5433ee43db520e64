"""The Hamiltonian Memory Layer: a matrix memory with position and momentum, moved one step a token."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_int, check_list, check_optional
from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.layers.base import Mixer, conv_weight, split_heads
from hmlcore.layers.corrections import at_step, each_token, last_steps, micro_steps
from hmlcore.layers.decay import ChannelDecay
from hmlcore.layers.hml.check import (
    check_corrections,
    check_decay,
    check_operand,
    check_rotation_heads,
    check_rotors,
    check_state,
)
from hmlcore.layers.hml.dynamics import dynamics_class
from hmlcore.layers.hml.gates import token_gates
from hmlcore.layers.hml.rotation import Rotation
from hmlcore.layers.hml.state import State, make_state, phase_of
from hmlcore.layers.hml.trace import record
from hmlcore.layers.read_out import head_norm, skip_gain, with_skip
from hmlcore.ops.features import features
from hmlcore.ops.packing import at_ends, check_cu_seqlens
from hmlcore.ops.short_conv import short_conv
from hmlcore.ops.turns import START, rotate_last, spread

DEFAULT = "delta"  # what the bake-off of options chose, `studies.options`: no option paid for its words
# What dynamics learn was once the layer's own.
FORMER_NAMES = {name: f"rule.{name}" for name in ("log_h", "mu", "theta", "log_omega")}
FORMER_NAMES |= {f"well_{name}": f"rule.net.{name}" for name in ("weight", "bias", "out")}


class HML(Mixer):
    r"""Per head, a state S = (Q, P) of two N×D matrices. Token t forgets by α, then takes one step of

        H_t(Q, P) = ½‖P‖² + ½ β_t‖k_tᵀQ − v_tᵀ‖²      with friction γ_t at the kick,

    by drift–kick–drift leapfrog of size h, and reads o_t = r_tᵀ(Q + μP). That is the layer as first proposed,
    `dynamics` "leapfrog". Over-damped, γ = 0, with μ = h/2 it is the gated delta rule of strength βh²: "delta",
    S ← αS, S ← S − β k(kᵀS − vᵀ), the default, since nothing that was added to it paid for itself
    (`studies.options`). The exact flow of an oscillator about the association turns what it corrects,
    S ← S − (1 − ρe^{iθ}) k(kᵀS − vᵀ) with ρ = 1 − β; it won the bake-off of the family (`studies.bakeoff`).

        r, k, v = SiLU(conv(W x)), ‖r‖ = ‖k‖ = 1;   β = σ(w_β·x − 2)
        γ = σ(w_γ·x − 2);   α = exp(−a·softplus(w_α·x − 4)), a = 0.05 e^A;   h = e^ℓ
        y = W_o(RMSNorm_head(o) ⊙ SiLU(W_g x))

    and, of its options, y = W_o((norm(o) + D ∘ v) ⊙ SiLU(W_g x)) + W_r (cos Φ, sin Φ).

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
        rotors: how many phases are kept and read out themselves, by W_r; those that turn heads are the first
            of them. They start at scales in equal ratios from .01 to ½ turn a token, or all at `rotor_start`.
            :meth:`snap` rounds what they have learned.
        skip: whether what a token writes reaches its own output: D, one a channel, begins at 1.
        norm: of what is read: "head"; "soft", which leaves small reads small; or "none". See
            :func:`~hmlcore.layers.read_out.head_norm`.
        corrections: m, how many associations a token writes one after another, each with a key, value and β of
            its own, before it reads: with "delta" and "oscillator", whose step is one correction. The state
            has no more bytes of memory. See :mod:`~hmlcore.layers.corrections`.
        decay: one α a "head", or, for the same dynamics, one for each key "channel", S ← diag(α)S; see
            :class:`~hmlcore.layers.decay.ChannelDecay`.
        options: of the dynamics, described where they are: `damping`, `step_size` and `injection` of
            :class:`~hmlcore.layers.hml.dynamics.leapfrog.Stepped`, for "leapfrog" and "euler"; `theta` and
            `damping` of "oscillator"; `every` of "kick".
    State: p·H·N·D floats, p = 2 (1 for delta and oscillator), and a phase for each rotating head or rotor;
    for "kick" one more, the place in its chunk.
    Sequences of different lengths: padding at the right end changes no output before it, but the state has
    seen it. :func:`hmlcore.ops.packing.pack` takes the padding away, and packed sequences (`cu_seqlens`)
    leave the state of each at its own end.
    """

    name = "hml"
    no_decay = ("log_a",)
    not_hidden = ("conv", "gate_proj", "rotor_proj", "decay")
    packs = True
    former_names = FORMER_NAMES

    def __init__(
        self,
        d_model: int,
        num_heads: int = 4,
        head_dim: int | None = None,
        dynamics: str = DEFAULT,
        conv_size: int = 4,
        rotation_heads: int = 0,
        rotors: int = 0,
        rotor_start: float | None = None,
        skip: bool = False,
        norm: str = "head",
        corrections: int = 1,
        decay: str = "head",
        **options: Any,
    ):
        super().__init__(d_model)
        kind = dynamics_class(dynamics)
        for option in options:
            if option not in kind.options():
                raise unknown(f"option of dynamics {dynamics!r}", option, kind.options() or ["none"])
        d_model = self.d_model
        num_heads = check_int("num_heads", num_heads)
        head_dim = check_optional("head_dim", head_dim, check_int)
        self.dynamics, self.num_heads, self.rows = dynamics, num_heads, kind.rows
        self.head_dim = split_heads(d_model, num_heads) if head_dim is None else head_dim
        rotation_heads = check_rotation_heads(rotation_heads, dynamics, kind, num_heads, self.head_dim)
        corrections = self.corrections = check_corrections(corrections, dynamics, kind)
        rotors, rotor_start = check_rotors(rotors, rotor_start, rotation_heads)
        # Made below, where its random numbers have their place; here is that of its parameters.
        self.register_module("rule", None)
        inner = num_heads * self.head_dim
        channels = (1 + 2 * corrections) * inner
        self.in_proj = nn.Linear(d_model, channels, bias=False)
        self.conv = conv_weight(channels, conv_size)
        # One scalar a head and token for each gate of the dynamics, and for β of each further correction.
        self.gate_starts = kind.gates | {f"beta_{i}": kind.gates["beta"] for i in range(2, corrections + 1)}
        self.gate_proj = nn.Linear(d_model, len(self.gate_starts) * num_heads)
        self.log_a = nn.Parameter(torch.zeros(num_heads))
        self.rule = kind(d_model, num_heads, self.head_dim, **options)
        by_channel = check_decay(decay, dynamics, kind, options.get("damping"))
        self.decay = ChannelDecay(d_model, num_heads, self.head_dim) if by_channel else None
        self.norm = head_norm(norm, num_heads, self.head_dim)
        self.out_gate = nn.Linear(d_model, inner, bias=False)
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        self.turning = rotation_heads
        scales = spread(rotors) if rotor_start is None else [rotor_start] * rotors
        scales = scales or [START] * rotation_heads
        self.rotation = Rotation(d_model, scales, snaps=rotors > 0) if scales else None
        self.rotor_proj = nn.Linear(2 * rotors, d_model, bias=False) if rotors else None
        self.skip = skip_gain(skip, inner)
        self.reset_parameters()

    @classmethod
    def arguments(cls, **given):
        own = [name for name in super().arguments(**given) if name != "options"]
        return own + dynamics_class(given.get("dynamics", DEFAULT)).options()

    def reset_parameters(self) -> None:
        """Gate biases that begin as a slow writer with a long memory: β ≈ γ ≈ .12, α ≈ .999.

        These starting points decide more than the choice of dynamics does. W_r begins at 0: eight rotors read
        at once at full size would drown a narrow residual stream.
        """
        with torch.no_grad():
            biases = self.gate_proj.bias.view(-1, self.num_heads)
            for bias, start in zip(biases, self.gate_starts.values(), strict=True):
                bias.fill_(start)
            for silent in self.silent_projections:
                silent.weight.zero_()

    def coefficients(self, x: Tensor) -> tuple[NamedTuple, dict[str, Tensor]]:
        """The token-wise linear maps of x [B, T, d_model], in fp32, and the named gates [B, T, H]; with m
        corrections a token, both over [B, T·m, ...]."""
        # Autocast would round α ≈ 1 − 1e-3 to 1: gates are computed in full precision.
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            return self.rule.coefficients(x, *token_gates(self, x))

    def _project(self, x: Tensor, conv: Tensor, bounds: list[int] | None = None) -> tuple[Tensor, ...]:
        """r, k and v [B, T·m, H, N], of each correction of a token, r in the last, and the inputs kept."""
        mixed, conv = short_conv(self.in_proj(x), self.conv, conv, bounds)
        count = self.corrections
        r, k, v = features(mixed, self.num_heads, count * self.num_heads, self.head_dim)
        v = v.unflatten(-1, (-1, self.head_dim))
        return at_step(r, count - 1, count), micro_steps(k, count), micro_steps(v, count), conv

    def _read_out(self, o: Tensor, v: Tensor, x: Tensor, phase: Tensor | None) -> Tensor:
        """y, from what was read and written, at rest, and the phases [B, T, R] in turns."""
        y = self.out_proj(with_skip(self.norm(o), v, self.skip) * F.silu(self.out_gate(x)))
        if self.rotor_proj is None or phase is None:
            return y
        angle = 2 * torch.pi * phase
        return y + self.rotor_proj(torch.cat((angle.cos(), angle.sin()), -1).to(y.dtype))

    def _turn(self, v: Tensor, phase: Tensor | None, sign: int) -> Tensor:
        """v [B, T, H, D] with its turning heads turned by ± their phase: to their frame (−), or to rest (+)."""
        if phase is None or not self.turning:
            return v
        return rotate_last(v, sign * each_token(phase[..., : self.turning], v.shape[1] // phase.shape[1]))

    def _leave(self, memory, conv, phase, coefficients, bounds=None) -> State:
        """The state that the sequences leave."""
        parts = {"memory": memory, "conv": conv, **self.rule.leave(coefficients, bounds)}
        return make_state(parts if phase is None else parts | {"phase": at_ends(phase, bounds)})

    def snap(self, lattice: int | Sequence[int]) -> None:
        """Round every turn of the phases, and the phases, to 1/`lattice` of a turn; 0: not at all.

        For a trained layer: rounding has no gradient. The lattice is kept with the weights.
        Args: lattice, one for all rotors or one for each.
        Raises: HmlcoreError for a layer without rotors, another number of them, and a lattice below 0.
        """
        own = None if self.rotation is None else self.rotation.lattice
        if own is None:
            raise HmlcoreError("snap needs a layer that has rotors, this one has rotors = 0")
        given = check_list("lattice", lattice if isinstance(lattice, Sequence) else [lattice], check_int, 0)
        require(len(given) in (1, len(own)), f"lattice must be one, or one for each of {len(own)}, got {given}")
        own.copy_(torch.tensor(given))

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
        phase = None if self.rotation is None else self.rotation(x, phase_of(state), bounds)
        written = self._turn(v, phase, -1)
        coefficients, gates = self.coefficients(x)
        coefficients, count = self.rule.enter(coefficients, state, bounds), self.corrections
        steps = None if bounds is None else [count * bound for bound in bounds]
        o, end = self.rule.scan(r, k, written, coefficients, memory, cu_seqlens=steps)
        if self.trace is not None:
            follow = self.trace.differentiable and torch.is_grad_enabled()
            with torch.set_grad_enabled(follow), torch.autocast(x.device.type, enabled=False):
                turns = None if phase is None else each_token(phase, count)
                record(self, r, k, written, coefficients, gates, memory, turns, steps)
        o, v = last_steps(o, count), last_steps(v, count)
        y = self._read_out(self._turn(o, phase, 1), v, x, phase)
        return y, self._leave(end, conv, phase, coefficients, bounds)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        self._check_input(x, 2)
        check_operand(x, self.in_proj.weight)
        memory = check_state(state, self.state_shapes(len(x)), x)
        x = x[:, None]
        r, k, v, conv = self._project(x, state.conv)
        phase = None if self.rotation is None else self.rotation(x, phase_of(state))
        written = self._turn(v, phase, -1)
        coefficients = self.rule.enter(self.coefficients(x)[0], state)
        for i in range(self.corrections):
            now = coefficients.map(lambda c, i=i: c[:, i])
            r_i, k_i, v_i = (y[:, i].to(memory.dtype) for y in (r, k, written))
            o, memory = self.rule.advance(r_i, k_i, v_i, now, memory)
        o, v = o.to(v.dtype)[:, None], last_steps(v, self.corrections)
        y = self._read_out(self._turn(o, phase, 1), v, x, phase)
        return y[:, 0], self._leave(memory, conv, phase, coefficients)

    def state_shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """The parts of the state of `batch` sequences, and their shapes."""
        shapes = {
            "memory": (batch, self.num_heads, self.rows, self.head_dim, self.head_dim),
            "conv": (batch, self.conv.shape[1] - 1, self.conv.shape[0]),
            **self.rule.extra_state(batch),
        }
        return shapes if self.rotation is None else shapes | {"phase": (batch, len(self.rotation.bias))}

    def init_state(self, batch, device=None, dtype=None) -> State:
        wide = torch.promote_types(dtype or self.in_proj.weight.dtype, torch.float32)
        return make_state(
            {
                name: torch.zeros(shape, device=device, dtype=dtype if name == "conv" else wide)
                for name, shape in self.state_shapes(batch).items()
            }
        )

    def state_size(self, length: int) -> int:
        return sum(map(math.prod, self.state_shapes(1).values()))

    def flops_per_token(self, length: int) -> float:
        # Every matrix is applied once, the taps of the convolution among them.
        projections = sum(p.numel() for p in self.parameters() if p.ndim == 2)
        # Per row and head: move and read, predict and write for each correction, touch N·D entries once each.
        memory = (2 + 2 * self.corrections) * self.rows * self.num_heads * self.head_dim**2
        return 2 * (projections + memory + self.rule.multiply_adds())

    @property
    def output_projections(self) -> list[nn.Linear]:
        return [self.out_proj]

    @property
    def silent_projections(self) -> list[nn.Linear]:
        return [] if self.rotor_proj is None else [self.rotor_proj]
