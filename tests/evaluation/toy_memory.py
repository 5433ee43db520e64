"""A memory whose every law is known: s ← A s + x, y = s."""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.layers import MIXERS, Mixer
from hmlcore.models import Backbone, BackboneConfig

SMALL = {
    "hml": {"num_heads": 2}, "attention": {"num_heads": 2}, "retnet": {"num_heads": 2}, "mamba": {"d_state": 3},
    "mamba2": {"d_state": 4, "head_dim": 8}, "gated_deltanet": {"num_heads": 2},
    "momentum_deltanet": {"num_heads": 2}, "linoss": {"d_state": 4},
}  # fmt: skip
"""Arguments with which every mixer fits a width of 8."""


class LinearState(NamedTuple):
    memory: Tensor


class Linear(Mixer):
    """`scale` times a turn of neighbouring channels by `angle`."""

    name = "toy_linear"

    def __init__(self, d_model: int, scale: float = 0.9, angle: float = 0.0):
        super().__init__(d_model)
        turn = scale * torch.linalg.matrix_exp(angle * torch.tensor([[0.0, -1.0], [1.0, 0.0]]).double())
        self.register_buffer("a", torch.block_diag(*[turn] * (d_model // 2)))

    def forward(self, x, state=None):
        s = (state or self.init_state(len(x), x.device, x.dtype)).memory
        a, path = self.a.to(x.dtype), []
        for t in range(x.shape[1]):
            s = s @ a.T + x[:, t]
            path.append(s)
        return torch.stack(path, 1), LinearState(s)

    def step(self, x, state):
        y, state = self(x[:, None], state)
        return y[:, 0], state

    def init_state(self, batch, device=None, dtype=None):
        return LinearState(torch.zeros(batch, self.d_model, device=device, dtype=dtype))

    def state_size(self, length):
        return self.d_model

    def flops_per_token(self, length):
        return 2.0 * self.d_model**2


def toy(monkeypatch, vocab=20, width=8, **arguments) -> Backbone:
    """A backbone of one :class:`Linear`, in fp64."""
    monkeypatch.setitem(MIXERS, Linear.name, Linear)
    torch.manual_seed(0)
    return Backbone(BackboneConfig(vocab, Linear.name, width, 1, 4, arguments)).double()


def stirred(mixer, layers=1, vocab=20, width=8, amount=0.1, **arguments) -> Backbone:
    """A small backbone in fp64, every parameter moved off its start."""
    torch.manual_seed(1)
    config = BackboneConfig(vocab, mixer, width, layers, 12, SMALL.get(mixer, {}) | arguments)
    model = Backbone(config).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(amount * torch.randn_like(p))
    return model


def draw(batch, length, vocab=20, seed=0) -> Tensor:
    return torch.randint(vocab, (batch, length), generator=torch.Generator().manual_seed(seed))
