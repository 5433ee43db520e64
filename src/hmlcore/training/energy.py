"""A penalty on the energy that a memory gains or loses while nothing comes in."""

import torch
from torch import Tensor

from hmlcore.errors import HmlcoreError, require
from hmlcore.layers.trace import Trace
from hmlcore.tasks import Task


def energy_change(traces: dict[str, Trace], blank: Tensor) -> Tensor:
    """Mean of |H_t − H_{t−1}| / (|H_{t−1}| + 10⁻⁶) over tokens t that are blank and follow a blank, all heads
    and layers; H is kinetic + potential after the token.

    Args: traces, differentiable ones, one call each. blank [B, T], where nothing comes in.
    Raises: HmlcoreError where no layer keeps momentum, or no two blanks follow one another.
    """
    pairs = blank[:, 1:] & blank[:, :-1]
    require(bool(pairs.any()), "energy_penalty needs two blank tokens in a row; a batch has none")
    changes = []
    for trace in traces.values():
        if trace.records and "kinetic" in trace.records[0]:
            energy = trace["kinetic"] + trace["potential"]  # [B, T, H]
            before = energy[:, :-1]
            changes.append((energy.diff(dim=1).abs() / (before.abs() + 1e-6))[pairs].mean())
    require(bool(changes), "energy_penalty needs a layer with momentum: mixer 'hml' with two rows")
    return torch.stack(changes).mean()


def blank_of(task: Task) -> int:
    """The token of silence of `task`.

    Raises: HmlcoreError for a task without one.
    """
    blank = getattr(task, "blank", None)
    if blank is None:
        raise HmlcoreError(f"energy_penalty needs a task with blanks, such as copy; {task.name} has none")
    return blank
