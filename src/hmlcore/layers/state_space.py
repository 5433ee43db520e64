"""What the selective state spaces share: a scan between projections, a gate and a skip connection."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hmlcore.layers.base import MemoryMixer, MemoryState, inverse_softplus

STEP_SIZES = (1e-3, 1e-1)  # Δ at the start, log-uniform between these


def step_size_bias(count: int) -> nn.Parameter:
    """[count] biases b with softplus(b) log-uniform in :data:`STEP_SIZES`."""
    low, high = STEP_SIZES
    dt = torch.exp(torch.rand(count) * math.log(high / low) + math.log(low))
    return nn.Parameter(inverse_softplus(dt))


class StateSpace(MemoryMixer):
    """A subclass says what the scan is given, which op it is over a sequence and over one token, and what
    becomes of its output."""

    scan: ClassVar[Callable]
    advance: ClassVar[Callable]
    no_decay = ("log_a", "skip", "dt_bias")

    @abstractmethod
    def _project(self, x: Tensor, conv: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """The scan's arguments u, Δ, A, B, C, the gate z, and the convolution's new state."""

    @abstractmethod
    def _read_out(self, y: Tensor, u: Tensor, z: Tensor) -> Tensor:
        """The layer's output from the scan's, its input and the gate."""

    def _turn(
        self, x: Tensor, arguments: tuple[Tensor, ...], state: Any
    ) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
        """The scan's arguments in the frame of the state, and what becomes of its other parts."""
        return arguments, {}

    def forward(self, x: Tensor, state: MemoryState | None = None) -> tuple[Tensor, MemoryState]:
        state = self._begin(x, state)
        arguments, z, conv = self._project(x, state.conv)
        arguments, parts = self._turn(x, arguments, state)
        y, memory = self.scan(*arguments, state.memory)
        return self._read_out(y, arguments[0], z), state._replace(memory=memory, conv=conv, **parts)

    def step(self, x: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState]:
        self._check_input(x, 2)
        x = x[:, None]
        arguments, z, conv = self._project(x, state.conv)
        (u, dt, a, b, c), parts = self._turn(x, arguments, state)
        now = {name: y[:, 0].to(state.memory.dtype) for name, y in (("x", u), ("dt", dt), ("b", b), ("c", c))}
        y, memory = self.advance(**now, a=a, state=state.memory)
        after = state._replace(memory=memory, conv=conv, **parts)
        return self._read_out(y.to(u.dtype), u[:, 0], z[:, 0]), after

    def flops_per_token(self, length: int) -> float:
        # Decay, write and read touch every entry of the state once each.
        return 2 * (self._projection_work() + 3 * self.memory_size)
