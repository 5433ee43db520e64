"""Losses beside the task's: which a training has, what each is on a batch, how they are weighed.

    energy   what a memory gains or loses of its energy while nothing comes in (:mod:`hmlcore.training.energy`)
    mixer    what layers return themselves, :meth:`hmlcore.layers.Mixer.auxiliary`, the mean over those that do

Each is computed from what the model's only call of a step recorded, so a training without them records nothing
and is what it was to the bit. The curve of the loss is without them; their own is logged beside it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hmlcore.errors import require
from hmlcore.layers import Mixer
from hmlcore.layers.trace import Trace
from hmlcore.tasks import Batch, Continued, Labelled, Task
from hmlcore.training.energy import blank_of, energy_change
from hmlcore.training.settings import TrainingConfig

_PRIME = 1_000_003


def weights(config: TrainingConfig) -> dict[str, float]:
    """Name → weight of the losses that a training has beside its task's."""
    given = {"energy": config.energy_penalty, "mixer": config.auxiliary}
    return {name: weight for name, weight in given.items() if weight}


def losses(
    model: nn.Module,
    traces: dict[str, Trace],
    task: Task,
    batch: Batch | Continued | Labelled,
    config: TrainingConfig,
    step: int,
) -> dict[str, Tensor]:
    """Name → loss of each of :func:`weights`, from one differentiable trace a layer.

    What is drawn is a function of the seed and the step, as the batch is: the same in every process, and after
    a run was resumed.
    Raises: HmlcoreError where a loss that is weighed is not there to be had.
    """
    terms: dict[str, Callable[[], Tensor]] = {
        "energy": lambda: energy_change(traces, batch.inputs == blank_of(task)),
        "mixer": lambda: _of_mixers(model, traces, config.auxiliary, config.seed * _PRIME + step),
    }
    return {name: terms[name]() for name in weights(config)}


def _of_mixers(model: nn.Module, traces: dict[str, Trace], weight: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed % (1 << 63))
    mixers = {name: model.get_submodule(name) for name, trace in traces.items() if trace.records}
    mixers = {name: mixer for name, mixer in mixers.items() if isinstance(mixer, Mixer)}
    found = [mixer.auxiliary(traces[name], generator) for name, mixer in mixers.items()]
    found = [loss for loss in found if loss is not None]
    require(
        bool(found),
        f"auxiliary = {weight} needs a layer that has a loss of its own, such as mixer 'holographic'",
    )
    return torch.stack(found).mean()
