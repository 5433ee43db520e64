"""The gated recurrent unit as a token mixer: the classical recurrent reference."""

from typing import NamedTuple

from torch import Tensor

from hmlcore.layers.recurrent import RecurrentUnit
from hmlcore.ops.gru import gru


class GRUState(NamedTuple):
    """The unit's state [B, hidden] and the short convolution's inputs [B, conv_size − 1, d_model]."""

    hidden: Tensor
    conv: Tensor


class GRU(RecurrentUnit):
    """Short convolution, GRU, output projection; arguments as :class:`RecurrentUnit`.

    State: hidden floats. Source: Cho et al. (arXiv 1406.1078); gate conventions as cuDNN's.
    """

    name = "gru"
    mode, state_class = "GRU", GRUState

    def run(self, x, weights, hidden):
        return gru(x, weights, hidden)
