"""Momentum DeltaNet (MDN): a matrix memory that descends its recall error with momentum."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_bool, check_number
from hmlcore.layers.matrix_memory import MatrixMemory, time_step_bias
from hmlcore.ops.momentum_delta import momentum_delta, momentum_delta_step
from hmlcore.ops.precision import normalize


class MomentumDeltaNet(MatrixMemory):
    r"""Per head, a memory S and a momentum M of N × D each:

        M ← μM − η k(vᵀ − α kᵀS);   S ← αS − βM;   o = Sᵀq
        q, k, v = SiLU(conv(W x));   q ← q − d k;   ‖q‖ = ‖k‖ = 1
        y = W_o(RMSNorm_head(o) ⊙ SiLU(W_g x))

    with gates that keep one step stable, α + β ≤ 1 and μ ≥ e^`min_log_mu`:

        η = 1 + tanh((w_η·x + b_η) / √d_model),   u = cη
        α = exp(−A softplus(w_α·x + b_α)) / (1 + u²);   β = σ(w_β·x + b_β) u² / (1 + u²)
        log μ = max(−E softplus(w_μ·x + b_μ), min_log_mu)

    A, E, c and d are learned, one each a head.

    Args:
        d_model: width of the residual stream.
        num_heads: H. head_dim: N, d_model / num_heads if None.
        expand_v: D / N. 2 in the paper; 1 here gives two matrices the floats that one of 2N columns has.
        conv_size: taps of the causal depthwise convolution on q, k and v.
        min_log_mu: lower bound of log μ: −1 in the paper, −2 in its authors' code.
        predict_decayed: predict with p = αk; with p = k if False.
    State: 2·H·N·D floats, whatever the length.
    Source: MDN (arXiv 2605.05838), gates as in its public implementations; 1/√N on q is absorbed by the norm.
    """

    name = "momentum_deltanet"
    no_decay = ("log_a", "log_e", "log_c", "log_d")
    log_a: Tensor
    log_e: Tensor
    log_c: Tensor
    log_d: Tensor
    rows = (2,)
    touches = 3  # predict and read S, fade and push both: six for a pair of floats

    def __init__(
        self,
        d_model: int,
        num_heads: int = 4,
        head_dim: int | None = None,
        expand_v: float = 1,
        conv_size: int = 4,
        min_log_mu: float = -1.0,
        predict_decayed: bool = True,
    ):
        min_log_mu = float(check_number("min_log_mu", min_log_mu, high=0))
        predict_decayed = check_bool("predict_decayed", predict_decayed)
        super().__init__(d_model, num_heads, head_dim, expand_v, conv_size, gates=4)
        self.min_log_mu, self.predict_decayed = min_log_mu, predict_decayed
        for name in self.no_decay:
            setattr(self, name, nn.Parameter(torch.zeros(self.num_heads)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The published starting point: A, E uniform up to 16, c up to 4, d up to 1; Mamba's time steps
        for both softplus; from .01 on, as 0 has no logarithm."""
        with torch.no_grad():
            alpha, beta, mu, eta = self.gate_biases()
            beta.zero_()
            eta.zero_()
            steps = time_step_bias(self.num_heads)
            alpha.copy_(steps)
            mu.copy_(steps)
            for log_gate, top in ((self.log_a, 16), (self.log_e, 16), (self.log_c, 4), (self.log_d, 1)):
                log_gate.uniform_(0.01, top).log_()

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """log α, log μ, β and η [B, T, H] of x [B, T, d_model], in fp32 at least."""
        alpha, beta, mu, eta = self.gate_inputs(x)
        log_a, log_e, log_c = (g.to(alpha.dtype) for g in (self.log_a, self.log_e, self.log_c))
        eta = 1 + torch.tanh(eta / math.sqrt(self.d_model))
        bound = (log_c.exp() * eta).square()
        log_alpha = -torch.log1p(bound) - log_a.exp() * F.softplus(alpha)
        log_mu = (-log_e.exp() * F.softplus(mu)).clamp(min=self.min_log_mu)
        return log_alpha, log_mu, beta.sigmoid() * bound / (1 + bound), eta

    def features(self, mixed):
        q, k, v = self._heads(mixed)
        q, k = F.silu(q), F.silu(k)
        q = q - self.log_d.exp()[:, None].to(q.dtype) * k
        return normalize(q), normalize(k), F.silu(v)

    def scan(self, q, k, v, x, memory):
        p = None if self.predict_decayed else k
        return momentum_delta(q, k, v, *self.gates(x), p, initial_state=memory, output_final_state=True)

    def advance(self, q, k, v, x, memory):
        p = None if self.predict_decayed else k
        return momentum_delta_step(q, k, v, *(g[:, 0] for g in self.gates(x)), p, memory)
