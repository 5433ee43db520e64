"""What lies between a matrix memory's read and the residual stream: a norm a head, and a skip."""

import torch
from torch import Tensor, nn

from hmlcore.checks import check_bool, check_choice

NORMS = ("head", "soft", "none")


class SoftNorm(nn.Module):
    """o / √(mean o² + s²) a head, times a gain: reads larger than s have unit size, smaller ones stay small.

    With s = 0 this is RMSNorm, which makes unit size of an empty memory's noise. s begins at 1.
    Shapes: o [..., H, D] → the same; s [H], gain [D].
    """

    def __init__(self, heads: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.amplitude = nn.Parameter(torch.ones(heads))

    def forward(self, o: Tensor) -> Tensor:
        wide = o.to(torch.promote_types(o.dtype, torch.float32))
        scale = wide.square().mean(-1) + self.amplitude.to(wide.dtype).square()
        return (wide * scale.clamp(min=1e-5).rsqrt()[..., None]).to(o.dtype) * self.weight.to(o.dtype)


def head_norm(kind: str, heads: int, size: int) -> nn.Module:
    """The norm of reads [..., H, D]: "head", RMSNorm over each head; "soft", :class:`SoftNorm`; "none".

    Raises: HmlcoreError for another kind.
    """
    check_choice("norm", kind, NORMS)
    if kind == "none":
        return nn.Identity()
    return SoftNorm(heads, size) if kind == "soft" else nn.RMSNorm(size, eps=1e-5)


def skip_gain(given: bool, channels: int) -> nn.Parameter | None:
    """D of the skip D ∘ v, one a channel, which begins at 1; None where there is no skip.

    What a token writes reaches its own output without a detour through the memory, as Mamba's D·x does (Gu
    and Dao, arXiv 2312.00752).
    """
    return nn.Parameter(torch.ones(channels)) if check_bool("skip", given) else None


def with_skip(o: Tensor, v: Tensor, gain: Tensor | None) -> Tensor:
    """o + D ∘ v, heads joined: o, v [B, T, H, D] → [B, T, H·D]."""
    o = o.flatten(-2)
    return o if gain is None else o + gain.to(o.dtype) * v.flatten(-2)
