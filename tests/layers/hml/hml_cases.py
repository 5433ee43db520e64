"""HML layers off their starting point, and what is fed to them."""

import torch
from mixer_cases import CASES, normal

from hmlcore.layers import HML
from hmlcore.layers.hml import FAMILY

WIDTH, HEADS, SIZE = 16, 4, 4
LINEAR = [name for name, kind in FAMILY.items() if kind.turns_with_values]
NONLINEAR = [name for name in FAMILY if name not in LINEAR]
STEPPED = ("leapfrog", "euler")
# Without "hml", which is the default dynamics by another name.
HML_CASES = [case for case in CASES if case.startswith("hml-")]
MEMBERS = [f"hml-{dynamics}" for dynamics in FAMILY]


def make(dynamics, heads=HEADS, width=WIDTH, stir=0.2, dtype=torch.float64, **arguments):
    """A layer whose parameters are all stirred, so that no gate sits at a special value."""
    torch.manual_seed(3)
    layer = HML(width, heads, dynamics=dynamics, **arguments).to(dtype)
    with torch.no_grad():
        for p in layer.parameters():
            p.add_(stir * torch.randn_like(p))
    return layer


def double(*shape, seed=1):
    return normal(*shape, seed=seed, dtype=torch.float64)


def unit(*shape, seed=1):
    return torch.nn.functional.normalize(double(*shape, seed=seed), dim=-1)
