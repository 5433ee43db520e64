"""The holographic memory as its source describes it, so that what is said of it can be measured."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_choice, check_int, check_number, check_optional
from hmlcore.errors import require
from hmlcore.layers.base import Mixer
from hmlcore.layers.holographic.recall import lagged
from hmlcore.layers.trace import Trace
from hmlcore.ops.precision import normalize

KEYS = ("position", "redrawn")
EPSILON = 0.1
"""Added to a slot's mean square before its root. With the customary 1e-6 an empty slot, which silence leaves
empty, would multiply gradients by a thousand at every token."""
_LOW = (1 << 63) - 1


def positional_signs(positions: Tensor, channels: int, seed: int) -> Tensor:
    """Keys ±1 [..., D] of token numbers [...], by a hash of (seed, number, channel): the same wherever a text
    is cut.

    Source of the mixing: splitmix64 (Steele, Lea and Flood, 2014).
    """
    z = positions.round().long()[..., None] * channels + torch.arange(channels, device=positions.device)
    z = z + _signed(0x9E3779B97F4A7C15 * (seed + 1))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ ((z >> shift) & (_LOW >> (shift - 1)))) * _signed(factor)
    return 1.0 - 2.0 * ((z >> 31) & 1)


def _signed(x: int) -> int:
    """The 64 bits of x as a signed number, which torch's integers wrap around to."""
    x %= 1 << 64
    return x - (1 << 64) if x > _LOW else x


class LegacyState(NamedTuple):
    """Slots, and how many tokens were read, in fp32 at least."""

    memory: Tensor  # [B, S, D]
    position: Tensor  # [B, 1]


class HolographicLegacy(Mixer):
    r"""Slots that each take a share of every token, normalised in the state, read by a learned unbinding:

        q = W_q x,  v = W_v x,  s = v ∘ p_t,   p_t ∈ {±1}^D the key of the token's number
        r_s = M_s ∘ u,  u = MLP(q) / ‖·‖;   c = Σ_s softmax_s(w·r_s) r_s               read before write
        g = σ(MLP[q; v; rms(M_s)]) ∈ (0, 1)^S;   M_s ← a RMS((1 − g_s)(1 − λ) M_s + g_s s)
        y = W_o [q; c]

    The residual sum, its norm and the MLP are the backbone's. What was found in it: a key is a token's number,
    which no query knows, so a read asks for a position that the network has to count out by itself; keys
    "redrawn" at each call, as in the source, cannot be asked for at all. Slots are all given the same, and RMS,
    x / √(mean x² + .1), makes each nearly as long as any other whatever it holds. The state is not linear in
    what was written: tokens come one after another. :class:`~hmlcore.layers.Holographic` is what became of it.

    Args:
        d_model: width of the residual stream.
        dim: D, 8 · d_model if None (4,096 at 512). slots: S.
        keys: "position", a hash of the token's number, or "redrawn": a sequence is then not its steps.
        rate: λ within [0, 1).
        lag: of the auxiliary loss; 0, as in the source, or a largest one.
    State: S·D floats and a count, whatever the length.
    """

    name = "holographic_legacy"
    not_hidden = ("gate_in", "gate_out", "choice")

    def __init__(
        self,
        d_model: int,
        dim: int | None = None,
        slots: int = 8,
        keys: str = "position",
        rate: float = 1e-4,
        lag: int = 0,
    ):
        super().__init__(d_model)
        d_model, slots = self.d_model, check_int("slots", slots)
        dim = check_optional("dim", dim, check_int)
        self.dim = dim = 8 * d_model if dim is None else dim
        self.slots, self.keys = slots, check_choice("keys", keys, KEYS)
        self.rate, self.lag = check_number("rate", rate), check_int("lag", lag, 0)
        require(0 <= self.rate < 1, f"rate must be a decay within [0, 1) a token, got {rate}")
        self.q_proj = nn.Linear(d_model, d_model, bias=False)
        self.v_proj = nn.Linear(d_model, dim, bias=False)
        self.unbind_in = nn.Linear(d_model, 2 * dim)
        self.unbind_out = nn.Linear(2 * dim, dim)
        self.gate_in = nn.Linear(d_model + dim + slots, d_model)
        self.gate_out = nn.Linear(d_model, slots)
        self.choice = nn.Parameter(torch.randn(dim))
        self.gain = nn.Parameter(torch.ones(1))
        self.out_proj = nn.Linear(d_model + dim, d_model, bias=False)

    def init_state(self, batch, device=None, dtype=None) -> LegacyState:
        wide = torch.promote_types(dtype or self.choice.dtype, torch.float32)
        memory = torch.zeros(batch, self.slots, self.dim, device=device, dtype=wide)
        return LegacyState(memory, torch.zeros(batch, 1, device=device, dtype=wide))

    def forward(self, x: Tensor, state: LegacyState | None = None) -> tuple[Tensor, LegacyState]:
        state = self._begin(x, state)
        shape = (len(x), self.slots, self.dim)
        found = tuple(state.memory.shape)
        require(found == shape, f"the state's memory must have shape {shape}, got {found}")
        memory, length = state.memory, x.shape[1]
        q, v = self.q_proj(x), self.v_proj(x)
        u = normalize(self.unbind_out(F.silu(self.unbind_in(q))))
        inputs = F.linear(torch.cat((q, v), -1), self.gate_in.weight[:, : -self.slots], self.gate_in.bias)
        key = self._key(state.position, length, x)
        with torch.autocast(x.device.type, enabled=False):
            wide = [y.to(memory.dtype) for y in (u, v.to(key.dtype) * key, inputs)]
            reads, path, gates = [], [], []
            for *token, given in zip(*(y.unbind(1) for y in wide), strict=True):
                c, g, memory = self._advance(*token, given=given, memory=memory)
                reads.append(c)
                if self.trace is not None:
                    path.append(memory)
                    gates.append(g)
            c = torch.stack(reads, 1).to(q.dtype)
            if self.trace is not None:
                self._record(torch.stack(path, 1), torch.stack(gates, 1), key, v)
        after = LegacyState(memory, state.position + length)
        return self.out_proj(torch.cat((q, c), -1)), after

    def _advance(self, u: Tensor, s: Tensor, given: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c [B, D], g [B, S] and the new M from u, s [B, D], the gate's inputs [B, d_model] and M [B, S, D]."""
        dtype = memory.dtype
        r = memory * u[:, None]
        share = (r @ self.choice.to(dtype)).softmax(-1)
        c = torch.einsum("bs,bsd->bd", share, r)
        lengths = memory.square().mean(-1).add(1e-12).sqrt()
        hidden = given + F.linear(lengths, self.gate_in.weight[:, -self.slots :].to(dtype))
        out = F.linear(F.silu(hidden), self.gate_out.weight.to(dtype), self.gate_out.bias.to(dtype))
        g = out.sigmoid()[..., None]
        mixed = (1 - g) * (1 - self.rate) * memory + g * s[:, None]
        return (
            c,
            g[..., 0],
            self.gain.to(dtype) * mixed * mixed.square().mean(-1, keepdim=True).add(EPSILON).rsqrt(),
        )

    def _key(self, position: Tensor, length: int, x: Tensor) -> Tensor:
        """p [B, T, D]."""
        wide = torch.promote_types(x.dtype, torch.float32)
        if self.keys == "redrawn":
            drawn = torch.randn(len(x), length, self.dim, device=x.device, dtype=wide)
            return torch.where(drawn < 0, -1.0, 1.0).to(wide)
        numbers = position + torch.arange(length, device=x.device)
        return positional_signs(numbers, self.dim, 0).to(wide)

    def _record(self, path: Tensor, gates: Tensor, key: Tensor, v: Tensor) -> None:
        """Add to the trace, over [B, T, S]: `write`, g; `keep`, (1 − g)(1 − λ), both before RMS; `norm`, the
        lengths of slots; and where gradients are asked for, what :meth:`auxiliary` needs."""
        assert self.trace is not None
        own = {"path": path, "key": key, "value": v} if self.trace.differentiable else {}
        keep = (1 - gates) * (1 - self.rate)
        self.trace.add(norm=path.norm(dim=-1), write=gates, keep=keep, **own)

    def auxiliary(self, trace: Trace, generator: torch.Generator) -> Tensor:
        """MSE of mean_s(M_s ∘ p) after token t and the value τ tokens before, whose key p is; τ = 0 in the
        source, which g = 1 answers: a slot that holds nothing else.

        Raises: HmlcoreError for a lag that is not within the sequence.
        """
        found = trace.records[-1]
        length = found["path"].shape[1]
        tau = lagged(self.lag, length, generator)
        read = found["path"].mean(2)[:, tau:] * found["key"][:, : length - tau]
        return F.mse_loss(read, found["value"][:, : length - tau].detach().to(read.dtype))

    def flops_per_token(self, length: int) -> float:
        # Unbind, choose, read, fade, write and normalise touch every entry of the state once each.
        return 2 * (self._projection_work() + 6 * self.slots * self.dim)
