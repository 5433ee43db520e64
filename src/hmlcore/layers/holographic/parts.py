"""What a holographic layer is made of: lifts to many channels, routes among slots, what slots keep."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_choice, check_number
from hmlcore.errors import require
from hmlcore.ops.holographic import BINDINGS, check_channels, keys_of_phases, keys_of_signs, one_of
from hmlcore.ops.precision import normalize

LIFTS = ("random", "learned")
ROUTINGS = ("top1", "soft", "all")
DECAYS = ("none", "passive", "learned", "fast_slow")
FASTER = 10.0
"""How much faster the fast slots of "fast_slow" forget, and how much less of a token its slow ones write."""
_SEED = 0x484D


def fixed(rows: int, columns: int, orthogonal: bool, seed: int) -> Tensor:
    """Normal numbers that are the same in every layer, process and place; orthonormal columns times √rows if
    `orthogonal` and there are no more columns than rows. Where a model is only planned, so are they."""
    if torch.empty(0).device.type == "meta":
        return torch.empty(rows, columns)
    return _drawn(rows, columns, orthogonal, seed).clone()


@lru_cache(maxsize=8)
def _drawn(rows: int, columns: int, orthogonal: bool, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(_SEED + seed)
    drawn = torch.randn(rows, columns, generator=g, device="cpu")
    if orthogonal and columns <= rows:
        return torch.linalg.qr(drawn.double())[0].float() * math.sqrt(rows)
    return drawn


class Lift(nn.Module):
    r"""From r numbers to keys and values of D channels, and back:

        φ = s Φ c / ‖c‖,   k = e^{iφ} (signs of Φ c / ‖c‖ for "bipolar");     v = V u;     u ← Uᵀ m

    Φ is normal, so keys of contents that differ by δ on the unit sphere agree by e^{−s²δ²/2}: random features
    of a Gaussian kernel (Rahimi and Recht, 2007), whose width s learns. Where D ≥ r, V has orthogonal columns
    and U begins as its inverse, so nothing is lost on the way up and down; where D < r, U is nearly the
    pseudo-inverse. "random" lifts stay as they are drawn, alike in every layer: no parameters, and no
    information about data. "learned" ones begin there.
    """

    keys: Tensor  # [D or D/2, r]
    up: Tensor  # [D, r]
    down: Tensor  # [D, r]

    def __init__(self, binding: str, width: int, channels: int, kind: str):
        super().__init__()
        self.binding = check_choice("binding", binding, BINDINGS)
        check_choice("lift", kind, LIFTS)
        # Spectra of real numbers come in pairs, too.
        require(
            binding == "bipolar" or channels % 2 == 0,
            f"dim must be even with binding = {binding!r}, whose keys are phases of pairs, got {channels}",
        )
        check_channels("dim", binding, channels)
        rows = channels if binding == "bipolar" else channels // 2
        up = fixed(channels, width, True, 1)
        down = up / max(width, channels)
        for name, x in {"keys": fixed(rows, width, False, 0), "up": up, "down": down}.items():
            if kind == "learned":
                setattr(self, name, nn.Parameter(x))
            else:
                self.register_buffer(name, x)
        self.scale = nn.Parameter(torch.full((1,), 2.0))

    def key(self, content: Tensor) -> tuple[Tensor, Tensor]:
        """Keys [..., D] of contents [..., r], and those contents at unit length, in fp32 at least."""
        with torch.autocast(content.device.type, enabled=False):
            wide = torch.promote_types(content.dtype, torch.float32)
            unit = normalize(content.to(wide))
            lifted = F.linear(unit, self.keys.to(wide))
            scale = self.scale.to(wide)
            if self.binding == "bipolar":
                return keys_of_signs(scale * lifted), unit
            return keys_of_phases(self.binding, scale * lifted), unit

    def value(self, small: Tensor) -> Tensor:
        """v [..., D] of u [..., r]."""
        return F.linear(small, self.up.to(small.dtype))

    def content(self, read: Tensor) -> Tensor:
        """u [..., r] of what was read [..., D]."""
        return F.linear(read, self.down.to(read.dtype).T)

    def multiply_adds(self) -> int:
        """Of a token, beyond what is counted of its parameters: two keys, a value and a read."""
        return 2 * self.keys.numel() + self.up.numel() + self.down.numel()


class Router(nn.Module):
    """Into which of S slots a key writes, and from which a query reads: by the same map of their contents.

        top1   the one slot of the largest logit, its gradient that of softmax (straight through)
        soft   softmax of the logits                  all   every slot: writes of 1, reads of groups / S

    With `groups` of slots each has its own choice.
    Shapes: unit contents [B, T, r] → weights [B, T, 1, S].
    """

    def __init__(self, routing: str, width: int, slots: int, groups: int):
        super().__init__()
        self.routing, self.slots, self.groups = check_choice("routing", routing, ROUTINGS), slots, groups
        chooses = routing != "all" and slots > groups
        self.weight = nn.Parameter(torch.randn(slots, width)) if chooses else None

    def forward(self, unit: Tensor, reads: bool) -> Tensor:
        if self.weight is None:
            size = self.slots // self.groups
            share = 1 / size if reads and self.routing == "all" else 1.0
            # Of what is not finite nothing is chosen: NaN stays NaN.
            return (share + 0 * unit[..., :1]).expand(*unit.shape[:-1], self.slots)[..., None, :]
        with torch.autocast(unit.device.type, enabled=False):
            logits = F.linear(unit, self.weight.to(unit.dtype)).unflatten(-1, (self.groups, -1))
        weights = one_of(logits) if self.routing == "top1" else logits.softmax(-1)
        return weights.flatten(-2)[..., None, :]


def fixed_decay(decay: str, rate: float, slots: int) -> tuple[list[float], list[float]] | None:
    """What each slot keeps a token, as logarithms, and how much of a token it takes; None where it is learned.

    Raises: HmlcoreError for a decay outside [0, 1), and for an odd number of slots to be fast and slow.
    """
    check_choice("decay", decay, DECAYS)
    rate = check_number("rate", rate)
    fast = FASTER * rate if decay == "fast_slow" else rate
    require(
        rate >= 0 and fast < 1,
        f"rate must be a decay within [0, 1) a token, {FASTER:g} times it too where slots are fast, got {rate}",
    )
    require(
        decay != "fast_slow" or slots % 2 == 0,
        f"slots must be even with decay = 'fast_slow', half of them fast, got {slots}",
    )
    if decay == "learned":
        return None
    if decay == "fast_slow":
        half = slots // 2
        return [math.log1p(-fast)] * half + [math.log1p(-rate)] * half, [1.0] * half + [1 / FASTER] * half
    return [0.0 if decay == "none" else math.log1p(-rate)] * slots, [1.0] * slots
