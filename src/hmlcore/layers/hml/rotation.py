"""The free Hamiltonian: phases that every token turns, which are read out themselves and turn value pairs."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.ops.packing import repack, unpack
from hmlcore.ops.turns import cumulative_turns

# Phases add up over a sequence, so their weights have to learn more slowly than others: under Adam, at the
# others' rate, they become noise within a few hundred steps and take the head's output with them.
SLOWNESS = 0.1


class Rotation(nn.Module):
    r"""R phases that every token turns: Φ_t = Φ_{t−1} + 2π(w·x_t + b)/10, kept modulo one turn.

    A phase is a memory of its own, the free rotor: no force, an angle and a speed that tokens set. Read as
    (cos Φ, sin Φ) it counts modulo whatever its turns divide. After training the turns of a phase can be
    snapped to a `lattice` of Lths: what was learned is a rational turn up to an error that adds up over the
    sequence, and rounding takes the error away.

    A memory whose value pairs turn by φ_t = Φ_t − Φ_{t−1} before each token's step,

        S_t = (G_t e^{iφ_t}) S_{t−1} − e_t ⊗ k_t z_tᵀ,   z_t = c_tᵀ e^{iφ_t} k_tᵀ S_{t−1} − v_t,

    is one at rest in a frame that turns along: S_t = e^{iΦ_t} Ŝ_t, where Ŝ obeys the same recurrence
    without the phase, with v̂ = e^{−iΦ} v, and reads ô = e^{−iΦ} o. That is exact for every dynamics that
    is linear in the state: the rotation acts on pairs of values, all else on keys and rows or so that it
    commutes.

    Args: scales, of each phase: the standard deviation of its turns at the start. snaps: whether there are
        lattices [R], stored with the weights; 0, at first, rounds nothing.
    """

    no_decay = ("weight", "bias")
    lattice: Tensor | None

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
