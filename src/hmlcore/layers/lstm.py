"""Long short-term memory as a token mixer: the oldest memory that learned to keep things."""

from typing import NamedTuple

from torch import Tensor

from hmlcore.layers.recurrent import RecurrentUnit
from hmlcore.ops.lstm import lstm


class LSTMState(NamedTuple):
    """What the unit shows and what it keeps, [B, hidden] each, and the short convolution's inputs."""

    hidden: Tensor
    cell: Tensor
    conv: Tensor  # [B, conv_size − 1, d_model]


class LSTM(RecurrentUnit):
    """Short convolution, LSTM, output projection; arguments as :class:`RecurrentUnit`.

    State: 2·hidden floats. Source: Hochreiter and Schmidhuber (1997); gate conventions and
    initialisation as torch's (and cuDNN's).
    """

    name = "lstm"
    mode, state_class = "LSTM", LSTMState

    def run(self, x, weights, hidden, cell):
        y, last = lstm(x, weights, (hidden, cell))
        return y, *last
