"""Token mixers: every memory that is a recurrence trained inside the common backbone."""

from hmlcore.layers.attention import Attention, AttentionState
from hmlcore.layers.base import Mixer
from hmlcore.layers.gru import GRU, GRUState
from hmlcore.layers.hml import HML, HMLState
from hmlcore.layers.registry import MIXERS, build_mixer, mixer_class, register_mixer
from hmlcore.layers.trace import Trace, recording

__all__ = [
    "GRU", "HML", "MIXERS", "Attention", "AttentionState", "GRUState", "HMLState", "Mixer", "Trace",
    "build_mixer", "mixer_class", "recording", "register_mixer",
]  # fmt: skip
