"""Token mixers: every memory that is a recurrence trained inside the common backbone."""

from hmlcore.layers.attention import Attention
from hmlcore.layers.base import Mixer
from hmlcore.layers.gated_deltanet import GatedDeltaNet
from hmlcore.layers.gru import GRU
from hmlcore.layers.hml import HML, HMLState
from hmlcore.layers.holographic import Holographic, HolographicLegacy
from hmlcore.layers.hyena import Hyena
from hmlcore.layers.linoss import LinOSS
from hmlcore.layers.lstm import LSTM
from hmlcore.layers.mamba import Mamba
from hmlcore.layers.mamba2 import Mamba2
from hmlcore.layers.momentum_deltanet import MomentumDeltaNet
from hmlcore.layers.registry import MIXERS, build_mixer, mixer_class, register_mixer
from hmlcore.layers.retnet import RetNet
from hmlcore.layers.trace import Trace, recording
from hmlcore.layers.window_attention import WindowAttention

__all__ = [
    "GRU", "HML", "LSTM", "MIXERS", "Attention", "GatedDeltaNet", "HMLState",
    "Holographic", "HolographicLegacy", "Hyena", "LinOSS", "Mamba", "Mamba2", "Mixer", "MomentumDeltaNet",
    "RetNet", "Trace", "WindowAttention", "build_mixer", "mixer_class", "recording", "register_mixer",
]  # fmt: skip
