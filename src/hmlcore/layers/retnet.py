"""RetNet's multi-scale retention: a matrix memory that fades at a fixed rate, one rate a head."""

import torch
from torch import Tensor, nn

from hmlcore.errors import require
from hmlcore.layers.matrix_memory import MatrixMemory
from hmlcore.ops.attention import rotate
from hmlcore.ops.retention import multi_scale, retention, retention_step


class HeadNorm(nn.GroupNorm):
    """Group norm with one group a head, over o [B, T, H, D]; heads of unlike γ differ in scale."""

    def forward(self, o: Tensor) -> Tensor:
        return super().forward(o.flatten(2).flatten(0, 1)).view_as(o)


class RetNet(MatrixMemory):
    r"""Per head i, a matrix S that fades by γ_i = 1 − 2^(−5−i) and turns by the xPos angles θ:

        o_n = Σ_{m≤n} γ^(n−m) (R_n q_n)ᵀ(R_m k_m) v_m / √N,     R_n = rotation by nθ, θ_j = 10⁴^(−j/(N/2−1))
        q, k, v = conv(W x);   y = W_o(GroupNorm(o) ⊙ SiLU(W_g x))

    Only n − m matters, so S is kept in the frame of its last token, S ← γ R_{−1} S + k vᵀ / √N: no
    position is stored and no angle grows with the text. The paper's score normalisations are left out,
    as the group norm undoes them. Rotated pairs are channels (j, j + N/2).

    Args:
        d_model: width of the residual stream.
        num_heads: H. head_dim: N, even; d_model / num_heads if None.
        expand_v: D / N, 2 in the paper.
        conv_size: taps of the causal depthwise convolution on q, k and v (the paper has none: 1).
    State: H·N·D floats, whatever the length.
    Source: Sun et al., Retentive Network (arXiv 2307.08621); angles as in its authors' code.
    """

    name = "retnet"
    touches = 4  # turn and fade (2), write, read

    def __init__(
        self,
        d_model: int,
        num_heads: int = 4,
        head_dim: int | None = None,
        expand_v: float = 2,
        conv_size: int = 4,
    ):
        super().__init__(d_model, num_heads, head_dim, expand_v, conv_size)
        require(
            self.head_dim % 2 == 0,
            f"xPos needs an even head dimension, got {self.head_dim} with d_model = {d_model}, "
            f"num_heads = {num_heads}, head_dim = {head_dim}",
        )
        self.log_gamma = multi_scale(self.num_heads)

    def build_norm(self) -> nn.Module:
        return HeadNorm(self.num_heads, self.num_heads * self.value_dim, eps=1e-6)

    def _rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        """R_n x for x [B, T, H, N] and positions n [T]."""
        half = self.head_dim // 2
        # rotate() spaces its angles as base^(−j/half); here the last one is 10⁻⁴ itself.
        return rotate(x, positions, 10_000 ** (half / max(1, half - 1)))

    def _turn(self, memory: Tensor, n: int) -> Tensor:
        """R_n S for S [B, H, N, D]."""
        columns = memory.permute(0, 3, 1, 2)
        return self._rotate(columns, torch.tensor([n], device=memory.device)).permute(0, 2, 3, 1).contiguous()

    def features(self, mixed):
        q, k, v = self._heads(mixed)
        return q, k * self.head_dim**-0.5, v

    def scan(self, q, k, v, x, memory):
        length = q.shape[1]
        positions = torch.arange(length, device=q.device)
        o, memory = retention(
            self._rotate(q, positions), self._rotate(k, positions), v, memory.new_tensor(self.log_gamma),
            initial_state=self._turn(memory, -1), output_final_state=True,
        )  # fmt: skip
        return o, self._turn(memory, 1 - length)

    def advance(self, q, k, v, x, memory):
        return retention_step(q, k, v, memory.new_tensor(self.log_gamma), self._turn(memory, -1))
