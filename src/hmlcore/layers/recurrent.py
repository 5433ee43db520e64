"""What the classical recurrent units share as token mixers: short convolution, unit, output projection."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmlcore.checks import check_int
from hmlcore.layers.base import Mixer, conv_weight
from hmlcore.ops.short_conv import short_conv


class RecurrentUnit(Mixer):
    """SiLU(conv(x)) through a unit whose weights a module of torch holds, and an output projection.

    A subclass names the unit, the tuple of its state, of which the last is the convolution's inputs, and runs
    it.

    Args:
        d_model: width of the residual stream.
        hidden: units, d_model if None.
        conv_size: taps of the causal depthwise convolution before the unit.
    """

    mode: ClassVar[str]  # of torch's nn.RNNBase
    state_class: ClassVar[type]
    unit: Any  # nn.RNNBase, which makes up the names of its weights

    def __init__(self, d_model: int, hidden: int | None = None, conv_size: int = 4):
        super().__init__(d_model)
        d_model = self.d_model
        self.hidden = d_model if hidden is None else check_int("hidden", hidden)
        self.conv = conv_weight(d_model, conv_size)
        # The base class, which is what holds the weights: torch.compile refuses its subclasses by type.
        self.unit = nn.RNNBase(self.mode, d_model, self.hidden, batch_first=True)
        self.out_proj = nn.Linear(self.hidden, d_model, bias=False)

    @abstractmethod
    def run(self, x: Tensor, weights: tuple[Tensor, ...], *state: Tensor) -> tuple[Tensor, ...]:
        """The unit over x [B, T, d_model]: what it shows [B, T, hidden], and its last state."""

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        *before, conv = self._begin(x, state)
        x, conv = short_conv(x, self.conv, conv)
        unit = self.unit
        weights = (unit.weight_ih_l0, unit.weight_hh_l0, unit.bias_ih_l0, unit.bias_hh_l0)
        y, *after = self.run(F.silu(x), weights, *before)
        return self.out_proj(y), self.state_class(*after, conv)

    def init_state(self, batch, device=None, dtype=None) -> Any:
        parts = self.state_class._fields[:-1]
        empty = (torch.zeros(batch, self.hidden, device=device, dtype=dtype) for _ in parts)
        return self.state_class(*empty, self._empty_conv(batch, device, dtype))

    def flops_per_token(self, length: int) -> float:
        return 2 * self._projection_work()
