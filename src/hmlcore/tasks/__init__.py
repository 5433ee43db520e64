"""Seeded tasks: every batch is a pure function of (split, index, batch size, seed)."""

from hmlcore.tasks.base import IGNORE, SPLITS, Batch, Continued, Task
from hmlcore.tasks.labelled import Labelled, LabelledTask
from hmlcore.tasks.registry import TASKS, build_task

__all__ = ["IGNORE", "SPLITS", "TASKS", "Batch", "Continued", "Labelled", "LabelledTask", "Task", "build_task"]
