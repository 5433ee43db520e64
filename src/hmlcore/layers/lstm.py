"""Long short-term memory as a token mixer: the oldest memory that learned to keep things."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmlcore.errors import require
from hmlcore.layers.base import Mixer, conv_weight
from hmlcore.ops.lstm import lstm
from hmlcore.ops.short_conv import short_conv


class LSTMState(NamedTuple):
    """What the unit shows and what it keeps, [B, hidden] each, and the short convolution's inputs."""

    hidden: Tensor
    cell: Tensor
    conv: Tensor  # [B, conv_size − 1, d_model]


class LSTM(Mixer):
    """Short convolution, LSTM, output projection.

    Args:
        d_model: width of the residual stream.
        hidden: units, d_model if None.
        conv_size: taps of the causal depthwise convolution before the unit.
    State: 2·hidden floats. Source: Hochreiter and Schmidhuber (1997); gate conventions and
    initialisation as torch's (and cuDNN's).
    """

    name = "lstm"

    def __init__(self, d_model: int, hidden: int | None = None, conv_size: int = 4):
        super().__init__(d_model)
        self.hidden = d_model if hidden is None else hidden
        require(self.hidden >= 1, f"hidden must be at least 1, got {hidden}")
        self.conv = conv_weight(d_model, conv_size)
        self.unit = nn.LSTM(d_model, self.hidden, batch_first=True)
        self.out_proj = nn.Linear(self.hidden, d_model, bias=False)

    def forward(self, x: Tensor, state: LSTMState | None = None) -> tuple[Tensor, LSTMState]:
        self._check_input(x)
        if state is None:
            state = self.init_state(x.shape[0], x.device, x.dtype)
        x, conv = short_conv(x, self.conv, state.conv)
        unit = self.unit
        weights = (unit.weight_ih_l0, unit.weight_hh_l0, unit.bias_ih_l0, unit.bias_hh_l0)
        y, (hidden, cell) = lstm(torch.nn.functional.silu(x), weights, (state.hidden, state.cell))
        return self.out_proj(y), LSTMState(hidden, cell, conv)

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        self._check_input(x, 2)
        y, state = self(x[:, None], state)
        return y[:, 0], state

    def init_state(self, batch, device=None, dtype=None) -> LSTMState:
        taps = torch.zeros(batch, self.conv.shape[1] - 1, self.d_model, device=device, dtype=dtype)
        empty = torch.zeros(batch, self.hidden, device=device, dtype=dtype)
        return LSTMState(empty, empty, taps)

    def state_size(self, length: int) -> int:
        return 2 * self.hidden + (self.conv.shape[1] - 1) * self.d_model

    def flops_per_token(self, length: int) -> float:
        unit = self.unit.weight_ih_l0.numel() + self.unit.weight_hh_l0.numel()
        return 2 * (unit + self.out_proj.weight.numel() + self.conv.numel())

    @property
    def output_projections(self) -> list[nn.Linear]:
        return [self.out_proj]
