"""Long short-term memory as a token mixer: the oldest memory that learned to keep things."""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.checks import check_number
from hmlcore.layers.recurrent import RecurrentUnit
from hmlcore.ops.lstm import lstm


class LSTMState(NamedTuple):
    """What the unit shows and what it keeps, [B, hidden] each, and the short convolution's inputs."""

    hidden: Tensor
    cell: Tensor
    conv: Tensor  # [B, conv_size − 1, d_model]


class LSTM(RecurrentUnit):
    """Short convolution, LSTM, output projection.

    Args: as :class:`RecurrentUnit`, and forget_bias, what the forget gate's bias begins at more than torch's
        start: 1 lets a new unit keep what it has (Jozefowicz et al., 2015).
    State: 2·hidden floats. Source: Hochreiter and Schmidhuber (1997); gate conventions and
    initialisation as torch's (and cuDNN's).
    """

    name = "lstm"
    mode, state_class = "LSTM", LSTMState

    def __init__(self, d_model: int, hidden: int | None = None, conv_size: int = 4, forget_bias: float = 0.0):
        super().__init__(d_model, hidden, conv_size)
        forget_bias = check_number("forget_bias", forget_bias, -100, 100)
        with torch.no_grad():  # torch's order of gates: input, forget, cell, output
            self.unit.bias_ih_l0[self.hidden : 2 * self.hidden] += forget_bias

    def run(self, x, weights, hidden, cell):
        y, last = lstm(x, weights, (hidden, cell))
        return y, *last
