"""What a training is given, how far it is, and how it pauses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hmlcore.checks import (
    check_choice,
    check_fields,
    check_int,
    check_number,
    check_optional,
    check_positive,
    check_seed,
)
from hmlcore.errors import HmlcoreError, require

PRECISIONS = ("fp32", "bf16")
OPTIMIZERS = ("muon", "adamw")
POINTS = 2
"""Points of the curve in a row that must reach a level: one alone may be luck."""

_ROUNDING = 1e-6  # a group's shares of an accuracy, and the mean of equal ones, add up to this much less


@dataclass(frozen=True)
class TrainingConfig:
    """What determines a training, the model and tasks aside.

    Attributes:
        steps, batch_size, seed: the seed orders the data; weights are seeded where they are made.
        lr: peak learning rate; warmup: its steps; weight_decay: of matrices only.
        optimizer: "muon" on hidden matrices with AdamW on the rest, or "adamw" alone; lr is AdamW's.
        clip: largest gradient norm. precision: "fp32", or "bf16" autocast on a GPU.
        record_every: steps between points of the learning curve (each the mean since the last).
        energy_penalty: weight of :func:`~hmlcore.training.energy.energy_change` in the loss; the curve has the
            loss without it.
        auxiliary: weight of what layers may be trained for beside the task, see
            :mod:`hmlcore.training.auxiliary`; the curve has the loss without it.
        solved_at: accuracy at which the task is solved, and training ends early; None, never. Judged at every
            point of `record_every` steps: each task of the mix must have reached it, on the batches since the
            last point and before learning from them, at :data:`POINTS` points in a row. Of tasks whose
            batches are generated this is accuracy on unseen data.
        cool_down: steps C from there to the end, over which the rate falls linearly to 0; None, as many as
            `warmup`, at least 1. There are fewer where `steps` ends first.
    Raises: HmlcoreError for what is not of its kind or range, and for cool_down without solved_at.
    """

    steps: int
    batch_size: int
    seed: int
    lr: float
    warmup: int = 0
    weight_decay: float = 0.1
    clip: float = 1.0
    precision: str = "fp32"
    optimizer: str = "muon"
    record_every: int = 50
    energy_penalty: float = 0.0
    auxiliary: float = 0.0
    solved_at: float | None = None
    cool_down: int | None = None

    def __post_init__(self) -> None:
        check_fields(
            self, steps=(check_int,), batch_size=(check_int,), seed=(check_seed,), lr=(check_positive,),
            warmup=(check_int, 0), weight_decay=(check_number, 0), clip=(check_positive,),
            precision=(check_choice, PRECISIONS), optimizer=(check_choice, OPTIMIZERS),
            record_every=(check_int,), energy_penalty=(check_number, 0), auxiliary=(check_number, 0),
            solved_at=(check_optional, check_positive, 1.0), cool_down=(check_optional, check_int),
        )  # fmt: skip
        require(
            self.cool_down is None or self.solved_at is not None,
            f"cool_down = {self.cool_down} needs solved_at, the accuracy after which it begins",
        )


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: steps done; tokens: read in them; seconds: that they took.
        curve: [(step, mean loss, mean accuracy)], each the mean since the last.
        pending: (loss, accuracy) of the steps since the curve's last point.
        beside: name → [(step, mean)] of losses beside the task's, at the curve's points; and of the steps since
            the last, pending_beside.
        in_a_row: last points at which every task reached ``solved_at``; solved: steps done when it was the
            second, None before.
        peak_memory_bytes, gpu_utilisation: see :class:`~hmlcore.training.monitor.Monitor`; None if unknown.
    """

    step: int = 0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    pending: list[tuple[float, float]] = field(default_factory=list)
    beside: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    pending_beside: dict[str, list[float]] = field(default_factory=dict)
    in_a_row: int = 0
    solved: int | None = None
    seconds: float = 0.0
    tokens: int = 0
    peak_memory_bytes: int | None = None
    gpu_utilisation: float | None = None

    @classmethod
    def restored(cls, saved: dict) -> "Progress":
        """From ``vars`` of one that went through JSON, which knows no tuples."""
        lists = {name: [tuple(entry) for entry in saved[name]] for name in ("curve", "pending")}
        beside = {name: [tuple(point) for point in points] for name, points in saved.get("beside", {}).items()}
        known: dict[str, Any] = saved | lists | {"beside": beside}
        return cls(**known)

    def end(self, config: TrainingConfig) -> int:
        """The step that training ends with, as far as is known: S + C where the task was solved at step S."""
        if self.solved is None:
            return config.steps
        cool_down = max(1, config.warmup) if config.cool_down is None else config.cool_down
        return min(config.steps, self.solved + cool_down)

    def steps_to(self, accuracy: float) -> float:
        """Steps to the first point of the curve that reached `accuracy` and the next one too; ∞ where none.

        Infinity is in its place in every order: the median of seeds is infinite where most never got there.
        """
        reached = [value >= accuracy - _ROUNDING for _, _, value in self.curve]
        for number in range(len(reached) - POINTS + 1):
            if all(reached[number : number + POINTS]):
                return float(self.curve[number][0])
        return math.inf

    def count(
        self,
        tokens: int,
        loss: float,
        accuracy: float,
        config: TrainingConfig,
        tasks: int = 1,
        beside: Mapping[str, float] | None = None,
    ) -> None:
        """Another step is done; every `record_every` of them, and the last, end with a point of the curve.

        Args: tasks, the number of those that steps alternate between; beside, other losses by name.
        """
        self.step += 1
        self.tokens += tokens
        self.pending.append((loss, accuracy))
        for name, value in (beside or {}).items():
            self.pending_beside.setdefault(name, []).append(value)
        whole = self.step % config.record_every == 0
        if whole or self.step == self.end(config):
            losses, accuracies = zip(*self.pending, strict=True)
            self.curve.append((self.step, _mean(losses), _mean(accuracies)))
            if whole and config.solved_at is not None:
                self._judge(config.solved_at, tasks)
            self.pending.clear()
            for name, values in self.pending_beside.items():
                self.beside.setdefault(name, []).append((self.step, _mean(values)))
            self.pending_beside.clear()

    def _judge(self, solved_at: float, tasks: int) -> None:
        """Whether the task is solved. A mean over tasks would hide a hard one behind those that are easy."""
        accuracies = [accuracy for _, accuracy in self.pending]
        least = min(_mean(accuracies[first::tasks]) for first in range(tasks))
        self.in_a_row = self.in_a_row + 1 if least >= solved_at - _ROUNDING else 0
        if self.solved is None and self.in_a_row == POINTS:
            self.solved = self.step


def cooling_down(solved: int) -> str:
    """What people are told of a training that was solved at that step."""
    return f"solved at step {solved:,}, cooling down"


class Paused(Exception):
    """The deadline came first; the checkpoint holds everything done so far."""

    def __init__(self, step: int, steps: int):
        super().__init__(f"paused at step {step} of {steps}")
        self.step, self.steps = step, steps


class Diverged(HmlcoreError):
    """Loss or gradient stopped being finite; the weights are those before that step, `progress` says how far
    training was."""

    def __init__(self, message: str, progress: Progress):
        super().__init__(message)
        self.progress = progress


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
