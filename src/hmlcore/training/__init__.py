"""Training: the loop, its optimiser and its checkpoints."""

from hmlcore.training.distributed import SINGLE_PROCESS, ProcessGroup, process_group
from hmlcore.training.loop import autocast, train
from hmlcore.training.settings import Diverged, Paused, Progress, TrainingConfig

__all__ = [
    "SINGLE_PROCESS", "Diverged", "Paused", "ProcessGroup", "Progress", "TrainingConfig", "autocast",
    "process_group", "train",
]  # fmt: skip
