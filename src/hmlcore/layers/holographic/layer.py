"""The holographic layer: contents bound to contents, superposed in slots of fixed size."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_int, check_optional
from hmlcore.layers.base import MemoryMixer, MemoryState, conv_weight
from hmlcore.layers.holographic.parts import Lift, Router, fixed_decay
from hmlcore.layers.holographic.recall import lagged, recall_loss
from hmlcore.layers.read_out import head_norm, skip_gain, with_skip
from hmlcore.layers.trace import Trace
from hmlcore.ops.holographic import holographic, holographic_step
from hmlcore.ops.packing import check_cu_seqlens
from hmlcore.ops.short_conv import short_conv


class Tokens(NamedTuple):
    """What the op is given, [B, T, 1, ...]."""

    q: Tensor
    k: Tensor
    v: Tensor
    write: Tensor
    read: Tensor
    log_alpha: Tensor


class Holographic(MemoryMixer):
    r"""S slots of D channels in which bindings of contents to contents are superposed:

        c, u = W x;   c_q, c_k, u = conv(c, c, u)                 r = d_model numbers each
        M_s ← α_s M_s + β_s w_s(c_k) bind(k, v),                  k = key(c_k), v = lift(u)
        o = unbind(q, Σ_s ω_s(c_q) M_s),                          q = key(c_q)
        y = W_o(norm(unlift(o)) ⊙ SiLU(W_g x))

    Keys are of modulus 1, made of contents alone by one map for writing and reading, so that a content asked
    for again has the key that it was written under. What is normalised is the read, never the state, which is
    linear in what was written: the chunked form is exact. A value written again is added to the old one:
    nothing is corrected, and only decay forgets.

    Args:
        d_model: width of the residual stream, and r.
        dim: D, 16 · d_model if None; even unless keys are signs.
        slots: S.
        binding: "unitary" (phases), "bipolar" (signs) or "convolution" (circular, of unit spectra).
        routing: "top1", "soft" or "all"; see :class:`~hmlcore.layers.holographic.parts.Router`.
        decay: of slots, "none"; "passive", by `rate` a token; "learned", α = exp(−.05 softplus(w·x − 4)) at the
            start; or "fast_slow", half of them ten times `rate`, the others `rate` with writes of a tenth.
        rate: λ of "passive" and "fast_slow", within [0, 1).
        lift: keys and values by "random" maps, which are no parameters, or by "learned" ones that begin there.
        conv_size: taps of the causal depthwise convolution on contents.
        norm, skip: of the read, as of :class:`~hmlcore.layers.HML`.
        lag: of the auxiliary loss (:meth:`auxiliary`): at most so many tokens back; 0, the token itself.
    State: S·D floats, whatever the length.
    Sources: Plate (1995); Ganesan et al., arXiv 2109.02157; Danihelka et al., arXiv 1602.03032; the top-1 route
    as in Switch Transformers, arXiv 2101.03961.
    """

    name = "holographic"
    packs = True
    not_hidden = ("conv", "gate_proj", "router", "lift")

    def __init__(
        self,
        d_model: int,
        dim: int | None = None,
        slots: int = 1,
        binding: str = "unitary",
        routing: str = "top1",
        decay: str = "learned",
        rate: float = 1e-4,
        lift: str = "random",
        conv_size: int = 4,
        norm: str = "head",
        skip: bool = False,
        lag: int = 16,
    ):
        super().__init__(d_model)
        d_model, self.slots = self.d_model, check_int("slots", slots)
        dim = check_optional("dim", dim, check_int)
        self.dim, self.lag = 16 * d_model if dim is None else dim, check_int("lag", lag, 0)
        self.fixed_decay = fixed_decay(decay, rate, self.slots)
        self.memory_shape = (self.slots, self.dim)
        self.in_proj = nn.Linear(d_model, 2 * d_model, bias=False)
        self.conv = conv_weight(3 * d_model, conv_size)
        self.gate_proj = nn.Linear(d_model, (2 if self.fixed_decay is None else 1) * self.slots)
        self.lift = Lift(binding, d_model, self.dim, lift)
        self.router = Router(routing, d_model, self.slots, 2 if decay == "fast_slow" else 1)
        self.norm = head_norm(norm, 1, d_model)
        self.skip = skip_gain(skip, d_model)
        self.out_gate = nn.Linear(d_model, d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        with torch.no_grad():
            for bias, start in zip(self.gate_proj.bias.view(-1, self.slots), (-2.0, -4.0), strict=False):
                bias.fill_(start)  # β ≈ .12, α ≈ .999, as HML and the delta rules begin

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """β and log α [B, T, 1, S] of x [B, T, d_model], in fp32 at least."""
        with torch.autocast(x.device.type, enabled=False):
            wide = torch.promote_types(x.dtype, torch.float32)
            given = F.linear(x.to(wide), self.gate_proj.weight.to(wide), self.gate_proj.bias.to(wide))
            beta = given[..., : self.slots].sigmoid()
            if self.fixed_decay is None:
                log_alpha = -0.05 * F.softplus(given[..., self.slots :])
            else:
                kept, share = (beta.new_tensor(values) for values in self.fixed_decay)
                log_alpha, beta = kept.expand_as(beta), share * beta
            return beta[..., None, :], log_alpha[..., None, :]

    def _project(self, x: Tensor, conv: Tensor, bounds: list[int] | None = None) -> tuple:
        """What the op is given, how its keys are routed [B, T, 1, S], the small values u [B, T, r], and the
        inputs that the convolution keeps."""
        content, u = self.in_proj(x).chunk(2, -1)
        mixed, conv = short_conv(torch.cat((content, content, u), -1), self.conv, conv, bounds)
        of_q, of_k, u = mixed.chunk(3, -1)
        (q, unit_q), (k, unit_k) = self.lift.key(of_q), self.lift.key(of_k)
        beta, log_alpha = self.gates(x)
        route, read = self.router(unit_k, reads=False), self.router(unit_q, reads=True)
        with torch.autocast(x.device.type, enabled=False):
            v = self.lift.value(u.to(k.dtype))
        q, k, v = (y[..., None, :] for y in (q, k, v))
        return Tokens(q, k, v, beta * route, read, log_alpha), route, u, conv

    def _read_out(self, o: Tensor, u: Tensor, x: Tensor) -> Tensor:
        """y of reads o [B, T, 1, D]."""
        with torch.autocast(x.device.type, enabled=False):
            found = self.lift.content(o).to(u.dtype)
        return self.out_proj(with_skip(self.norm(found), u[..., None, :], self.skip) * F.silu(self.out_gate(x)))

    def forward(
        self, x: Tensor, state: MemoryState | None = None, cu_seqlens: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, MemoryState]:
        """Mix x [B, T, d_model] over time, starting from `state` (None: an empty memory).

        Args: cu_seqlens, [S + 1] bounds of S sequences packed along T (then B = 1, and states hold S
            sequences in the place of the batch); none sees another.
        Raises: HmlcoreError naming the argument whose shape, device or value does not fit.
        """
        self._check_input(x)
        bounds = None if cu_seqlens is None else check_cu_seqlens(cu_seqlens, *x.shape[:2])
        if state is None:
            state = self.init_state(x.shape[0] if bounds is None else len(bounds) - 1, x.device, x.dtype)
        tokens, route, u, conv = self._project(x, state.conv, bounds)
        start = state.memory[:, None]
        o, memory = holographic(
            *tokens, binding=self.lift.binding, initial_state=start, output_final_state=True, cu_seqlens=bounds
        )
        if self.trace is not None and bounds is None:
            self._record(tokens, route, u, start)
        return self._read_out(o, u, x), MemoryState(memory[:, 0], conv)

    def step(self, x: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState]:
        self._check_input(x, 2)
        x = x[:, None]
        tokens, _, u, conv = self._project(x, state.conv)
        now = (y[:, 0].to(state.memory.dtype) for y in tokens)
        o, memory = holographic_step(*now, state.memory[:, None], self.lift.binding)
        return self._read_out(o[:, None], u, x)[:, 0], MemoryState(memory[:, 0], conv)

    def _record(self, tokens: Tokens, route: Tensor, u: Tensor, start: Tensor) -> None:
        """Add to the trace, over [B, T, S]: how much of the token each slot takes, `write`, gives to the read,
        `read`, and keeps, `keep`; and `norm`, the lengths of slots. Where gradients are asked for, in the place
        of `norm`, what :meth:`auxiliary` needs."""
        assert self.trace is not None
        parts = {"write": tokens.write, "read": tokens.read, "keep": tokens.log_alpha.exp()}
        parts = {name: x.squeeze(2) for name, x in parts.items()}
        if self.trace.differentiable:
            own = {f"op_{name}": y for name, y in tokens._asdict().items()}
            self.trace.add(**parts, **own, route=route, small=u, start=start)
            return
        with torch.no_grad(), torch.autocast(u.device.type, enabled=False):
            memory, norms = start, []
            for t in range(u.shape[1]):
                now = Tokens(*(y[:, t].to(memory.dtype) for y in tokens))
                _, memory = holographic_step(*now, memory, self.lift.binding)
                norms.append(memory.norm(dim=-1)[:, 0])
            self.trace.add(**parts, norm=torch.stack(norms, 1))

    def auxiliary(self, trace: Trace, generator: torch.Generator) -> Tensor:
        """How badly a value is told from others of its sequence, read by its key some tokens later, in nats.

        The memory after token t is asked for what was written τ tokens before, 1 ≤ τ ≤ `lag` drawn anew each
        time (τ = 0 where `lag` is 0), by InfoNCE (van den Oord et al., arXiv 1807.03748). With τ = 0 the least
        is reached by keeping nothing else.
        Raises: HmlcoreError for a lag that is not within the sequence.
        """
        found = trace.records[-1]
        tokens = Tokens(*(found[f"op_{name}"] for name in Tokens._fields))
        tau = lagged(self.lag, tokens.v.shape[1], generator)
        asked = tokens._replace(q=tokens.k.roll(tau, 1))
        if self.router.weight is not None:
            asked = asked._replace(read=found["route"].roll(tau, 1))
        o, _ = holographic(*asked, binding=self.lift.binding, initial_state=found["start"])
        read = self.lift.content(o[:, tau:, 0])
        return recall_loss(read, found["small"][:, : read.shape[1]].to(read.dtype), generator)

    def flops_per_token(self, length: int) -> float:
        # Fade, write and read touch every entry of the state; binding and unbinding are products of pairs.
        memory, binding = 3 * self.memory_size, 2 * 2 * self.dim
        if self.lift.binding == "convolution":  # five transforms of 2.5 D log₂ D operations each
            binding += 5 * 5 * self.dim * max(1, self.dim.bit_length() - 1) // 4
        counted = sum(p.numel() for p in self.lift.parameters() if p.ndim == 2)
        again = 0 if self.router.weight is None else self.router.weight.numel()  # keys and queries are routed
        work = self._projection_work() - counted + self.lift.multiply_adds() + again
        return 2 * (work + memory + binding)
