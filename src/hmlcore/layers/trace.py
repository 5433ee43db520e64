"""Traces: what a memory wrote, read, kept and forgot, token by token; off by default.

Recording never changes an output: a layer computes its trace beside its forward pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Trace:
    """Named tensors of one layer, [B, T, ...] each, appended call by call; `differentiable` ones keep the
    graph that made them."""

    def __init__(self, differentiable: bool = False) -> None:
        self.records: list[dict[str, Tensor]] = []
        self.differentiable = differentiable

    def add(self, **tensors: Tensor) -> None:
        """Append one forward call's record."""
        self.records.append({n: x if self.differentiable else x.detach() for n, x in tensors.items()})

    def __getitem__(self, name: str) -> Tensor:
        """The quantity over all recorded calls, concatenated along time."""
        return torch.cat([record[name] for record in self.records], dim=1)


@contextmanager
def recording(model: nn.Module, differentiable: bool = False) -> Iterator[dict[str, Trace]]:
    """Record every traceable layer of `model` inside the block: ``with recording(model) as traces``.

    Args: differentiable, whether gradients flow through what is recorded.
    Yields: module name → :class:`Trace`.
    """
    layers: dict[str, Any] = {name: m for name, m in model.named_modules() if hasattr(m, "trace")}
    traces = {name: Trace(differentiable) for name in layers}
    try:
        for name, layer in layers.items():
            layer.trace = traces[name]
        yield traces
    finally:
        for layer in layers.values():
            layer.trace = None
