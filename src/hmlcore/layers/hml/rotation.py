"""The free Hamiltonian: heads whose value pairs turn by a phase that every token chooses."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.ops.oscillator import multiply_pairs
from hmlcore.ops.packing import repack, unpack

START = 0.01  # turns a token, standard deviation at the start
# Phases add up over a sequence, so their weights have to learn more slowly than others: under Adam, at the
# others' rate, they become noise within a few hundred steps and take the head's output with them.
SLOWNESS = 0.1


def wrap(turns: Tensor) -> Tensor:
    """The same angle within half a turn of zero; exact, and of derivative 1."""
    return turns - turns.detach().round()


def cumulative_turns(turns: Tensor, start: Tensor) -> Tensor:
    """start + Σ_{s≤t} turns_s modulo 1, over [B, T, ...], start [B, ...].

    Angles are counted in turns because a whole turn is then exact: 2π is not a floating-point number, and
    its rounding, 1.7e-7 at every wrap, is what a phase in radians is worth after 10,000 turns. Sums are
    formed in log₂ T passes over a binary tree and wrapped at each: no sum ever exceeds one turn.
    """
    total, reach = wrap(turns), 1
    while reach < turns.shape[1]:
        before = F.pad(total[:, :-reach], (0, 0) * (turns.ndim - 2) + (reach, 0))
        total, reach = wrap(total + before), 2 * reach
    return wrap(start[:, None] + total)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Every pair of neighbouring channels (q, p) of x [..., D], as q + ip, times e^{2πi·turns} [...]."""
    angle = 2 * torch.pi * turns
    return multiply_pairs(angle.cos(), angle.sin(), x)


def rotate_last(x: Tensor, turns: Tensor) -> Tensor:
    """:func:`rotate` for the last R of the heads of x [B, T, H, D], turns [B, T, R]; x keeps its dtype."""
    still, turning = x.split((x.shape[2] - turns.shape[2], turns.shape[2]), 2)
    return torch.cat((still, rotate(turning.to(turns.dtype), turns).to(x.dtype)), 2)


class Rotation(nn.Module):
    r"""The phase of each of the last R heads: Φ_t = Φ_{t−1} + 2π(w·x_t + b)/10, kept modulo one turn.

    A memory whose value pairs turn by φ_t = Φ_t − Φ_{t−1} before each token's step,

        S_t = (G_t e^{iφ_t}) S_{t−1} − e_t ⊗ k_t z_tᵀ,   z_t = c_tᵀ e^{iφ_t} k_tᵀ S_{t−1} − v_t,

    is one at rest in a frame that turns along: S_t = e^{iΦ_t} Ŝ_t, where Ŝ obeys the same recurrence
    without the phase, with v̂ = e^{−iΦ} v, and reads ô = e^{−iΦ} o. That is exact for every dynamics, since
    the rotation acts on the values and all else on the keys and rows.
    """

    no_decay = ("weight", "bias")

    def __init__(self, d_model: int, heads: int):
        super().__init__()
        self.heads = heads
        # Not a linear map of the module kind: the backbone gives those a start that is too large here.
        self.weight = nn.Parameter(START / SLOWNESS * d_model**-0.5 * torch.randn(heads, d_model))
        self.bias = nn.Parameter(torch.zeros(heads))

    def forward(self, x: Tensor, start: Tensor, bounds: list[int] | None = None) -> Tensor:
        """Φ_1 … Φ_T in turns [B, T, R], in fp32 at least, from x [B, T, d_model] and Φ_0 [B, R].

        With `bounds` (then B = 1) each sequence packed in x starts from its own Φ_0 [S, R].
        """
        with torch.autocast(x.device.type, enabled=False):
            wide = torch.promote_types(x.dtype, torch.float32)
            turns = SLOWNESS * F.linear(x.to(wide), self.weight.to(wide), self.bias.to(wide))
            if bounds is None:
                return cumulative_turns(turns, start.to(wide))
            return repack(cumulative_turns(unpack(turns, bounds), start.to(wide)), bounds)
