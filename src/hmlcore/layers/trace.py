"""Traces: what a memory wrote, read, kept and forgot, token by token; off by default.

Recording never changes an output: a layer computes its trace beside its forward pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Trace:
    """Named tensors of one layer, [B, T, ...] each, appended call by call."""

    def __init__(self) -> None:
        self.records: list[dict[str, Tensor]] = []

    def add(self, **tensors: Tensor) -> None:
        """Append one forward call's record."""
        self.records.append({name: x.detach() for name, x in tensors.items()})

    def __getitem__(self, name: str) -> Tensor:
        """The quantity over all recorded calls, concatenated along time."""
        return torch.cat([record[name] for record in self.records], dim=1)


@contextmanager
def recording(model: nn.Module) -> Iterator[dict[str, Trace]]:
    """Record every traceable layer of `model` inside the block: ``with recording(model) as traces``.

    Yields: module name → :class:`Trace`.
    """
    layers = {name: m for name, m in model.named_modules() if hasattr(m, "trace")}
    traces = {name: Trace() for name in layers}
    try:
        for name, layer in layers.items():
            layer.trace = traces[name]
        yield traces
    finally:
        for layer in layers.values():
            layer.trace = None
