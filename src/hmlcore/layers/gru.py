"""The gated recurrent unit as a token mixer: the classical recurrent reference."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hmlcore.errors import require
from hmlcore.layers.base import Mixer, conv_weight
from hmlcore.ops.gru import gru
from hmlcore.ops.short_conv import short_conv


class GRUState(NamedTuple):
    """The unit's state [B, hidden] and the short convolution's inputs [B, conv_size − 1, d_model]."""

    hidden: Tensor
    conv: Tensor


class GRU(Mixer):
    """Short convolution, GRU, output projection.

    Args:
        d_model: width of the residual stream.
        hidden: units of state, d_model if None.
        conv_size: taps of the causal depthwise convolution before the unit.
    Source: Cho et al. (arXiv 1406.1078); gate conventions as cuDNN's.
    """

    name = "gru"

    def __init__(self, d_model: int, hidden: int | None = None, conv_size: int = 4):
        super().__init__(d_model)
        self.hidden = d_model if hidden is None else hidden
        require(self.hidden >= 1, f"hidden must be at least 1, got {hidden}")
        self.conv = conv_weight(d_model, conv_size)
        self.unit = nn.GRU(d_model, self.hidden, batch_first=True)
        self.out_proj = nn.Linear(self.hidden, d_model, bias=False)

    def forward(self, x: Tensor, state: GRUState | None = None) -> tuple[Tensor, GRUState]:
        self._check_input(x)
        if state is None:
            state = self.init_state(x.shape[0], x.device, x.dtype)
        x, conv = short_conv(x, self.conv, state.conv)
        unit = self.unit
        weights = (unit.weight_ih_l0, unit.weight_hh_l0, unit.bias_ih_l0, unit.bias_hh_l0)
        y, hidden = gru(torch.nn.functional.silu(x), weights, state.hidden)
        return self.out_proj(y), GRUState(hidden, conv)

    def step(self, x: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
        self._check_input(x, 2)
        y, state = self(x[:, None], state)
        return y[:, 0], state

    def init_state(self, batch, device=None, dtype=None) -> GRUState:
        taps = torch.zeros(batch, self.conv.shape[1] - 1, self.d_model, device=device, dtype=dtype)
        return GRUState(torch.zeros(batch, self.hidden, device=device, dtype=dtype), taps)

    def state_size(self, length: int) -> int:
        return self.hidden + (self.conv.shape[1] - 1) * self.d_model

    def flops_per_token(self, length: int) -> float:
        unit = self.unit.weight_ih_l0.numel() + self.unit.weight_hh_l0.numel()
        return 2 * (unit + self.out_proj.weight.numel() + self.conv.numel())

    @property
    def output_projections(self) -> list[nn.Linear]:
        return [self.out_proj]
