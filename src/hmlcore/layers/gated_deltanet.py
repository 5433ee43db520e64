"""Gated DeltaNet: a matrix memory that forgets by a gate and corrects what a key recalls."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_bool, check_choice, check_int
from hmlcore.layers.corrections import at_step, interleave, last_steps, micro_steps
from hmlcore.layers.decay import DECAYS, ChannelDecay
from hmlcore.layers.hml.trace import of_tokens
from hmlcore.layers.matrix_memory import MatrixMemory, time_step_bias
from hmlcore.layers.read_out import head_norm
from hmlcore.ops.delta_rule import delta_rule, delta_rule_step
from hmlcore.ops.features import features

GATE_INITS = ("paper", "slow")


class GatedDeltaNet(MatrixMemory):
    r"""Per head, a matrix S that fades by α_t and is corrected along k_t by β_t of its error:

        S ← αS;   S ← S − β k(kᵀS − vᵀ);   o = Sᵀq
        q, k, v = SiLU(conv(W x)), ‖q‖ = ‖k‖ = 1
        α = exp(−A softplus(w_α·x + b_α));   β = σ(w_β·x + b_β)
        y = W_o(RMSNorm_head(o) ⊙ SiLU(W_g x))

    Args:
        d_model: width of the residual stream.
        num_heads: H. head_dim: N, d_model / num_heads if None.
        expand_v: D / N, 2 in the paper.
        conv_size: taps of the causal depthwise convolution on q, k and v.
        gate_init: "paper", A uniform up to 16, softplus(b_α) log-uniform in [.001, .1], b_β = 0, as
            Mamba-2; or "slow", a slow writer with a long memory, as HML starts (β ≈ .12, α ≈ .999).
        corrections: m, how many associations a token writes, one after another (DeltaProduct); see
            :mod:`~hmlcore.layers.corrections`.
        decay: one α a "head", or one for each key "channel", S ← diag(α)S, as Kimi Delta Attention; see
            :class:`~hmlcore.layers.decay.ChannelDecay`.
        negative_eigenvalues: β = 2σ(w_β·x + b_β) instead, so that a correction can turn what lies along k
            about, which following parity takes (Grazzi et al., arXiv 2411.12537).
        skip, norm: as of :class:`~hmlcore.layers.HML`; not in the paper.
    State: H·N·D floats, whatever the length. With expand_v = 1 this is HML with dynamics "delta".
    Source: Yang, Kautz and Hatamizadeh (arXiv 2412.06464); its 1/√N on q is absorbed by the norm.
    """

    name = "gated_deltanet"
    no_decay = ("log_a",)
    not_hidden = (*MatrixMemory.not_hidden, "decay")

    def __init__(
        self,
        d_model: int,
        num_heads: int = 4,
        head_dim: int | None = None,
        expand_v: float = 2,
        conv_size: int = 4,
        gate_init: str = "paper",
        skip: bool = False,
        norm: str = "head",
        corrections: int = 1,
        decay: str = "head",
        negative_eigenvalues: bool = False,
    ):
        gate_init = check_choice("gate_init", gate_init, GATE_INITS)
        corrections = check_int("corrections", corrections)
        by_channel = check_choice("decay", decay, DECAYS) == "channel"
        shape = (d_model, num_heads, head_dim, expand_v, conv_size)
        super().__init__(*shape, gates=1 + corrections, skip=skip, corrections=corrections)
        self.touches = 2 + 2 * corrections  # fade and read; predict and write
        self.norm = head_norm(norm, self.num_heads, self.value_dim)
        self.largest_beta = 2 if check_bool("negative_eigenvalues", negative_eigenvalues) else 1
        self.gate_init = gate_init
        self.log_a = nn.Parameter(torch.zeros(self.num_heads))
        self.decay = ChannelDecay(self.d_model, self.num_heads, self.head_dim) if by_channel else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The gates' starting point; see `gate_init`."""
        with torch.no_grad():
            alpha, *betas = self.gate_biases()
            if self.gate_init == "slow":
                self.log_a.fill_(0.05).log_()
                alpha.fill_(-4.0)
            else:
                self.log_a.uniform_(0.01, 16).log_()  # not from 0, whose logarithm is no number
                alpha.copy_(time_step_bias(self.num_heads))
            for beta in betas:
                beta.fill_(-2.0 if self.gate_init == "slow" else 0.0)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log α and β [B, T·m, H] of x [B, T, d_model], for each correction of a token, in fp32 at least; log α
        [B, T·m, H, N] by channel."""
        alpha, *betas = self.gate_inputs(x)
        rate = self.log_a.to(alpha.dtype).exp()
        if self.decay is not None:
            alpha, rate = self.decay(x, alpha), rate[:, None]
        log_alpha = -rate * F.softplus(alpha)
        beta = interleave(betas).sigmoid()
        if self.largest_beta != 1:
            beta = self.largest_beta * beta
        return at_step(log_alpha, 0, self.corrections), beta

    def features(self, mixed):
        written = self.corrections * self.num_heads
        q, k, v = features(mixed, self.num_heads, written, self.head_dim)
        return q, k, v.unflatten(-1, (written, -1))

    def scan(self, q, k, v, x, memory):
        count = self.corrections
        q, k, v = at_step(q, count - 1, count), micro_steps(k, count), micro_steps(v, count)
        gates = self.gates(x)
        if self.trace is not None:
            self._record(q, k, v, *gates, memory)
        o, memory = delta_rule(q, k, v, *gates, initial_state=memory, output_final_state=True)
        return last_steps(o, count), memory

    def _record(self, q: Tensor, k: Tensor, v: Tensor, log_alpha: Tensor, beta: Tensor, memory: Tensor) -> None:
        """Add to the trace what HML's has of one row, its sequence walked again; over [B, T·m, H, ...]."""
        assert self.trace is not None
        with torch.set_grad_enabled(self.trace.differentiable and torch.is_grad_enabled()):
            states, reads = [], []
            q, k, v = (y.to(memory.dtype) for y in (q, k, v))
            for now in zip(*(y.unbind(1) for y in (q, k, v, log_alpha, beta)), strict=True):
                o, memory = delta_rule_step(*now, memory)
                states.append(memory[:, :, None])
                reads.append(o)
            path, read = torch.stack(states, 1), torch.stack(reads, 1)
            found = dict(key=k, query=q, value=v, read=read, state=path, alpha=log_alpha.exp(), beta=beta)
            self.trace.add(**{name: of_tokens(name, x, self.corrections) for name, x in found.items()})

    def advance(self, q, k, v, x, memory):
        gates = [g.unbind(1) for g in self.gates(x)]
        written = (y.chunk(self.corrections, 1) for y in (k, v))
        for k_i, v_i, *now in zip(*written, *gates, strict=True):
            o, memory = delta_rule_step(q, k_i, v_i, *now, memory)
        return o, memory
