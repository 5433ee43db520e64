"""Training: the loop, its optimiser and its checkpoints."""

from hmlcore.training.checkpoint import load_checkpoint, save_checkpoint
from hmlcore.training.loop import Paused, Progress, TrainingConfig, autocast, train
from hmlcore.training.objective import scored_loss
from hmlcore.training.optim import build_optimizer, learning_rate, parameter_groups

__all__ = [
    "Paused", "Progress", "TrainingConfig", "autocast", "build_optimizer", "learning_rate",
    "load_checkpoint", "parameter_groups", "save_checkpoint", "scored_loss", "train",
]  # fmt: skip
