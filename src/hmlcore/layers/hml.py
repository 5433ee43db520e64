"""The Hamiltonian Memory Layer: a matrix memory with position and momentum, moved one leapfrog a token."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.errors import require, unknown
from hmlcore.layers.base import Mixer, conv_weight, no_decay, split_heads
from hmlcore.ops import hamiltonian as ops
from hmlcore.ops.short_conv import short_conv

DYNAMICS = ("leapfrog", "euler", "delta")


class HMLState(NamedTuple):
    """S = (Q, P) [B, H, p, N, D] in fp32, and the short convolution's inputs [B, conv_size − 1, H(2N + D)]."""

    memory: Tensor
    conv: Tensor


class HML(Mixer):
    r"""Per head, a state S = (Q, P) of two N×D matrices. Token t forgets by α, then takes one step of

        H_t(Q, P) = ½‖P‖² + ½ β_t‖k_tᵀQ − v_tᵀ‖²      with friction γ_t at the kick,

    by drift–kick–drift leapfrog of size h, and reads o_t = r_tᵀ(Q + μP).

        r, k, v = SiLU(conv(W x)), ‖r‖ = ‖k‖ = 1;   β = σ(w_β·x − 2)
        γ = σ(w_γ·x − 2);   α = exp(−a·softplus(w_α·x − 4)), a = 0.05 e^A;   h = e^ℓ
        y = W_o(RMSNorm_head(o) ⊙ SiLU(W_g x))

    Args:
        d_model: width of the residual stream.
        num_heads: H. head_dim: N = D, d_model / num_heads if None.
        dynamics: "leapfrog"; "euler" (symplectic Euler, as momentum delta rules); "delta" (one row,
            the over-damped limit: the gated delta rule).
        conv_size: taps of the causal depthwise convolution on r, k and v.
    State: p·H·N·D floats, p = 2 (1 for delta), whatever the length.
    """

    name = "hml"

    def __init__(
        self,
        d_model: int,
        num_heads: int = 4,
        head_dim: int | None = None,
        dynamics: str = "leapfrog",
        conv_size: int = 4,
    ):
        super().__init__(d_model)
        if dynamics not in DYNAMICS:
            raise unknown("dynamics", dynamics, DYNAMICS)
        self.dynamics, self.num_heads = dynamics, num_heads
        self.head_dim = split_heads(d_model, num_heads) if head_dim is None else head_dim
        require(self.head_dim >= 1, f"head_dim must be at least 1, got {head_dim}")
        self.rows = 1 if dynamics == "delta" else 2
        inner = num_heads * self.head_dim
        self.in_proj = nn.Linear(d_model, 3 * inner, bias=False)
        self.conv = conv_weight(3 * inner, conv_size)
        # β, α and, where there is a momentum, γ: one scalar a head and token.
        self.gate_proj = nn.Linear(d_model, (self.rows + 1) * num_heads)
        self.log_a = no_decay(nn.Parameter(torch.zeros(num_heads)))
        if self.rows == 2:
            self.log_h = no_decay(nn.Parameter(torch.zeros(num_heads)))
            self.mu = no_decay(nn.Parameter(torch.zeros(num_heads)))
        self.norm = nn.RMSNorm(self.head_dim, eps=1e-5)
        self.out_gate = nn.Linear(d_model, inner, bias=False)
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gate biases that begin as a slow writer with a long memory: β ≈ γ ≈ .12, α ≈ .999.

        These starting points decide more than the choice of dynamics does.
        """
        with torch.no_grad():
            beta, alpha, *gamma = self.gate_proj.bias.view(-1, self.num_heads)
            beta.fill_(-2.0)
            alpha.fill_(-4.0)
            for bias in gamma:
                bias.fill_(-2.0)

    def coefficients(self, x: Tensor) -> tuple[ops.Coefficients, dict[str, Tensor]]:
        """The token-wise linear maps of x [B, T, d_model], in fp32, and the named gates [B, T, H]."""
        # Autocast would round α ≈ 1 − 1e-3 to 1: gates are computed in full precision.
        with torch.autocast(x.device.type, enabled=False):
            weight, bias = self.gate_proj.weight, self.gate_proj.bias
            wide = torch.promote_types(x.dtype, torch.float32)
            gates = F.linear(x.to(wide), weight.to(wide), bias.to(wide))
            beta, alpha, *gamma = gates.unflatten(-1, (-1, self.num_heads)).unbind(-2)
            beta = beta.sigmoid()
            log_alpha = -0.05 * self.log_a.to(wide).exp() * F.softplus(alpha)
            named = {"beta": beta, "alpha": log_alpha.exp()}
            if self.rows == 1:
                return ops.delta(log_alpha, beta), named
            log_gamma = F.logsigmoid(gamma[0])
            h, mu = self.log_h.to(wide).exp(), self.mu.to(wide)
            move = ops.leapfrog if self.dynamics == "leapfrog" else ops.euler
            return move(log_alpha, log_gamma, beta, h, mu), named | {"gamma": log_gamma.exp()}

    def _project(self, x: Tensor, conv: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mixed, conv = short_conv(self.in_proj(x), self.conv, conv)
        rk, v = F.silu(mixed).unflatten(-1, (3, self.num_heads, self.head_dim)).split((2, 1), 2)
        r, k = F.normalize(rk, dim=-1).unbind(2)
        return r, k, v.squeeze(2), conv

    def _read_out(self, o: Tensor, x: Tensor) -> Tensor:
        o = self.norm(o).flatten(-2) * F.silu(self.out_gate(x))
        return self.out_proj(o)

    def forward(self, x: Tensor, state: HMLState | None = None) -> tuple[Tensor, HMLState]:
        self._check_input(x)
        if state is None:
            state = self.init_state(x.shape[0], x.device, x.dtype)
        r, k, v, conv = self._project(x, state.conv)
        coefficients, gates = self.coefficients(x)
        o, memory = ops.hamiltonian(r, k, v, coefficients, initial_state=state.memory, output_final_state=True)
        if self.trace is not None:
            with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
                self._record(r, k, v, coefficients, gates, state.memory)
        return self._read_out(o, x), HMLState(memory, conv)

    def step(self, x: Tensor, state: HMLState) -> tuple[Tensor, HMLState]:
        self._check_input(x, 2)
        x = x[:, None]
        r, k, v, conv = self._project(x, state.conv)
        now = self.coefficients(x)[0].map(lambda c: c[:, 0])
        wide = state.memory.dtype
        o, memory = ops.hamiltonian_step(*(y[:, 0].to(wide) for y in (r, k, v)), now, state.memory)
        return self._read_out(o.to(v.dtype)[:, None], x)[:, 0], HMLState(memory, conv)

    def _record(self, r, k, v, coefficients, gates, memory) -> None:
        """Walk the sequence by single steps and keep what the phase portraits need.

        Recorded, all over [B, T, H, ...]: the gates, `key`, `value`, the prediction `error` z, the
        `read` o, the kinetic ½‖P‖² and potential ½β‖kᵀQ − v‖² energies and the state (Q, P).
        """
        states, reads, errors = [], [], []
        memory = memory.float() if memory.dtype.itemsize < 4 else memory
        r, k, v = (y.to(memory.dtype) for y in (r, k, v))
        for t in range(k.shape[1]):
            now = coefficients.map(lambda c, t=t: c[:, t])
            errors.append(torch.einsum("bhp,bhn,bhpnd->bhd", now.c, k[:, t], memory) - v[:, t])
            o, memory = ops.hamiltonian_step(r[:, t], k[:, t], v[:, t], now, memory)
            states.append(memory)
            reads.append(o)
        path = torch.stack(states, 1)  # [B, T, H, p, N, D]
        after = torch.einsum("bthn,bthnd->bthd", k, path[:, :, :, 0]) - v
        energies = {"potential": 0.5 * gates["beta"] * after.square().sum(-1)}
        if self.rows == 2:
            energies["kinetic"] = 0.5 * path[:, :, :, 1].square().sum((-2, -1))
        self.trace.add(
            key=k, value=v, error=torch.stack(errors, 1), read=torch.stack(reads, 1), state=path,
            **gates, **energies,
        )  # fmt: skip

    def init_state(self, batch, device=None, dtype=None) -> HMLState:
        wide = torch.promote_types(dtype or self.in_proj.weight.dtype, torch.float32)
        shape = (batch, self.num_heads, self.rows, self.head_dim, self.head_dim)
        taps = torch.zeros(batch, self.conv.shape[1] - 1, self.conv.shape[0], device=device, dtype=dtype)
        return HMLState(torch.zeros(shape, device=device, dtype=wide), taps)

    def state_size(self, length: int) -> int:
        memory = self.rows * self.num_heads * self.head_dim**2
        return memory + (self.conv.shape[1] - 1) * self.conv.shape[0]

    def flops_per_token(self, length: int) -> float:
        maps = (self.in_proj, self.gate_proj, self.out_gate, self.out_proj)
        projections = sum(m.weight.numel() for m in maps) + self.conv.numel()
        # Per row and head: predict, move, write and read touch N·D entries once each.
        return 2 * (projections + 4 * self.rows * self.num_heads * self.head_dim**2)

    @property
    def output_projections(self) -> list[nn.Linear]:
        return [self.out_proj]
