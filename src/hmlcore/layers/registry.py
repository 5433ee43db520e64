"""Names of token mixers, as they appear in commands and results."""

from typing import Any

from hmlcore.checks import check_choice
from hmlcore.errors import require, unknown
from hmlcore.layers.attention import Attention
from hmlcore.layers.base import Mixer
from hmlcore.layers.gated_deltanet import GatedDeltaNet
from hmlcore.layers.gru import GRU
from hmlcore.layers.hml import HML
from hmlcore.layers.holographic import Holographic, HolographicLegacy
from hmlcore.layers.hyena import Hyena
from hmlcore.layers.linoss import LinOSS
from hmlcore.layers.lstm import LSTM
from hmlcore.layers.mamba import Mamba
from hmlcore.layers.mamba2 import Mamba2
from hmlcore.layers.momentum_deltanet import MomentumDeltaNet
from hmlcore.layers.retnet import RetNet
from hmlcore.layers.window_attention import WindowAttention

_KNOWN = (
    HML, Attention, WindowAttention, GRU, LSTM, Mamba, Mamba2, Hyena, RetNet, GatedDeltaNet, MomentumDeltaNet,
    LinOSS, Holographic, HolographicLegacy,
)  # fmt: skip
MIXERS: dict[str, type[Mixer]] = {cls.name: cls for cls in _KNOWN}


def mixer_class(name: str) -> type[Mixer]:
    """The class registered as `name`; an unknown name is refused with the list of known ones."""
    return MIXERS[check_choice("mixer", name, MIXERS)]


def register_mixer(cls: type[Mixer]) -> type[Mixer]:
    """Add your own mixer to the comparison under ``cls.name``; usable as a decorator."""
    require(
        cls.name not in MIXERS or MIXERS[cls.name] is cls, f"mixer name {cls.name!r} is taken by another class"
    )
    MIXERS[cls.name] = cls
    return cls


def build_mixer(name: str, d_model: int, **arguments: Any) -> Mixer:
    """Build the mixer called `name`; unknown names and arguments are refused with the known ones."""
    cls = mixer_class(name)
    known = cls.arguments(**arguments)
    for argument in arguments:
        if argument not in known:
            raise unknown(f"argument of mixer {name!r}", argument, known)
    return cls(d_model, **arguments)
