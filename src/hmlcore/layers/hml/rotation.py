"""The free Hamiltonian: phases that every token turns, which are read out themselves and turn value pairs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.ops.oscillator import multiply_pairs
from hmlcore.ops.packing import repack, unpack

START = 0.01  # turns a token, standard deviation at the start
FASTEST = 0.5  # the same of the fastest of several rotors: one that starts slow never finds the half turn
# Phases add up over a sequence, so their weights have to learn more slowly than others: under Adam, at the
# others' rate, they become noise within a few hundred steps and take the head's output with them.
SLOWNESS = 0.1


def wrap(turns: Tensor, period: Tensor | float = 1.0) -> Tensor:
    """The same angle within half a period of zero; exact, and of derivative 1."""
    return turns - period * (turns.detach() / period).round()


def cumulative_turns(turns: Tensor, start: Tensor, lattice: Tensor | None = None) -> Tensor:
    """start + Σ_{s≤t} turns_s modulo 1, over [B, T, ...], start [B, ...].

    Angles are counted in turns because a whole turn is then exact: 2π is not a floating-point number, and
    its rounding, 1.7e-7 at every wrap, is what a phase in radians is worth after 10,000 turns. Sums are
    formed in log₂ T passes over a binary tree and wrapped at each: no sum ever exceeds one turn.

    With a `lattice` of integers L > 0, [...] or one for all, every turn and the start are rounded to Lths of a
    turn, and their numbers are added: the sum is exact for any T. Where L = 0, and without, nothing is rounded.
    """
    period = 1.0
    if lattice is not None:  # without a branch on its value, which would wait for a GPU
        period = lattice.clamp(min=1).to(turns.dtype)
        turns, start = (torch.where(lattice > 0, (x * period).round(), x) for x in (turns, start))
    total, reach = wrap(turns, period), 1
    while reach < turns.shape[1]:
        before = F.pad(total[:, :-reach], (0, 0) * (turns.ndim - 2) + (reach, 0))
        total, reach = wrap(total + before, period), 2 * reach
    return wrap(start[:, None] + total, period) / period


def spread(count: int, slowest: float = START, fastest: float = FASTEST) -> list[float]:
    """`count` scales, in turns a token, in equal ratios from `slowest` to `fastest`; of one, the slowest."""
    return [slowest * (fastest / slowest) ** (i / max(1, count - 1)) for i in range(count)]


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Every pair of neighbouring channels (q, p) of x [..., D], as q + ip, times e^{2πi·turns} [...]."""
    angle = 2 * torch.pi * turns
    return multiply_pairs(angle.cos(), angle.sin(), x)


def rotate_last(x: Tensor, turns: Tensor) -> Tensor:
    """:func:`rotate` for the last R of the heads of x [B, T, H, D], turns [B, T, R]; x keeps its dtype."""
    still, turning = x.split((x.shape[2] - turns.shape[2], turns.shape[2]), 2)
    return torch.cat((still, rotate(turning.to(turns.dtype), turns).to(x.dtype)), 2)


class Rotation(nn.Module):
    r"""R phases that every token turns: Φ_t = Φ_{t−1} + 2π(w·x_t + b)/10, kept modulo one turn.

    A phase is a memory of its own, the free rotor: no force, an angle and a speed that tokens set. Read as
    (cos Φ, sin Φ) it counts modulo whatever its turns divide. After training the turns of a phase can be
    snapped to a `lattice` of Lths: what was learned is a rational turn up to an error that adds up over the
    sequence, and rounding takes the error away.

    A memory whose value pairs turn by φ_t = Φ_t − Φ_{t−1} before each token's step,

        S_t = (G_t e^{iφ_t}) S_{t−1} − e_t ⊗ k_t z_tᵀ,   z_t = c_tᵀ e^{iφ_t} k_tᵀ S_{t−1} − v_t,

    is one at rest in a frame that turns along: S_t = e^{iΦ_t} Ŝ_t, where Ŝ obeys the same recurrence
    without the phase, with v̂ = e^{−iΦ} v, and reads ô = e^{−iΦ} o. That is exact for every dynamics, since
    the rotation acts on the values and all else on the keys and rows.

    Args: scales, of each phase: the standard deviation of its turns at the start. snaps: whether there are
        lattices [R], stored with the weights; 0, at first, rounds nothing.
    """

    no_decay = ("weight", "bias")

    def __init__(self, d_model: int, scales: list[float], snaps: bool = False):
        super().__init__()
        start = torch.tensor([scale / SLOWNESS * d_model**-0.5 for scale in scales])[:, None]
        # Not a linear map of the module kind: the backbone gives those a start that is too large here.
        self.weight = nn.Parameter(start * torch.randn(len(scales), d_model))
        self.bias = nn.Parameter(torch.zeros(len(scales)))
        self.register_buffer("lattice", torch.zeros(len(scales), dtype=torch.int64) if snaps else None)

    def forward(self, x: Tensor, start: Tensor, bounds: list[int] | None = None) -> Tensor:
        """Φ_1 … Φ_T in turns [B, T, R], in fp32 at least, from x [B, T, d_model] and Φ_0 [B, R].

        With `bounds` (then B = 1) each sequence packed in x starts from its own Φ_0 [S, R].
        """
        with torch.autocast(x.device.type, enabled=False):
            wide = torch.promote_types(x.dtype, torch.float32)
            turns = SLOWNESS * F.linear(x.to(wide), self.weight.to(wide), self.bias.to(wide))
            if bounds is None:
                return cumulative_turns(turns, start.to(wide), self.lattice)
            return repack(cumulative_turns(unpack(turns, bounds), start.to(wide), self.lattice), bounds)
