"""Numbers that look random and depend on nothing but what they are made of: no generator, no order."""

from torch import Tensor

_MASK, _SIZE = 0xFFFFFFFF, 2.0**32


def mixed(*parts: Tensor | int) -> Tensor:
    """32 well-mixed bits of non-negative integers, one at least in a tensor, broadcast: int64 in 0 … 2³² − 1.

    Source: the finaliser x ← (x ⊕ x ≫ 16) · 45d9f3b, twice, of Mueller's integer hash.
    """
    found: Tensor | int = 0
    for part in parts:
        found = (part + 0x9E3779B9 + found * 31) & _MASK
        for _ in range(2):
            found = ((found ^ (found >> 16)) * 0x45D9F3B) & _MASK
        found = found ^ (found >> 16)
    assert isinstance(found, Tensor)
    return found


def uniform_of(*parts: Tensor | int) -> Tensor:
    """The same as numbers in [0, 1), fp32."""
    return (mixed(*parts) >> 8).float() / (_SIZE / 256)
