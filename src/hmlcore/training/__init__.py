"""Training: the loop, its optimiser and its checkpoints."""

from hmlcore.training.checkpoint import load_checkpoint, save_checkpoint
from hmlcore.training.distributed import ALONE, Team, joined
from hmlcore.training.loop import autocast, train
from hmlcore.training.objective import scored_loss
from hmlcore.training.optim import build_optimizer, learning_rate, parameter_groups
from hmlcore.training.settings import Paused, Progress, TrainingConfig

__all__ = [
    "ALONE", "Paused", "Progress", "Team", "TrainingConfig", "autocast", "build_optimizer", "joined",
    "learning_rate", "load_checkpoint", "parameter_groups", "save_checkpoint", "scored_loss", "train",
]  # fmt: skip
