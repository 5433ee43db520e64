"""One training loop for every model: deterministic batches, clipping, autocast, exact resume."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from tqdm import tqdm

from hmlcore.checks import check_instance, check_number, check_optional
from hmlcore.errors import require
from hmlcore.files import sweep
from hmlcore.interrupts import uninterrupted
from hmlcore.layers import recording
from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import Batch, Continued, Labelled, Task
from hmlcore.training import auxiliary
from hmlcore.training.checkpoint import Damaged, Saved, collected, load_checkpoint, set_aside, write_checkpoint
from hmlcore.training.distributed import SINGLE_PROCESS, ProcessGroup
from hmlcore.training.monitor import Reporter
from hmlcore.training.objective import on_device, scored
from hmlcore.training.optim import build_optimizer, scheduled_rate, set_rate
from hmlcore.training.settings import Diverged, Paused, Progress, TrainingConfig
from hmlcore.training.sharding import whole
from hmlcore.training.tbptt import CarriedState, uses_tbptt


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 autocast on a GPU; elsewhere, and for fp32, nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" and device.type == "cuda")


def train(
    model: Backbone | Classifier,
    tasks: Sequence[Task],
    config: TrainingConfig,
    *,
    device: torch.device,
    checkpoint: Path | None = None,
    run: str = "",
    deadline: float | None = None,
    checkpoint_seconds: float = 30.0,
    label: str = "",
    after_step: Callable[[int], None] | None = None,
    on_point: Callable[[int, dict[str, float]], None] | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Progress:
    """Train in place; step i learns from task i mod len(tasks), batch i, until `steps` or, where
    ``config.solved_at`` says so, until every task is solved and the rate has cooled down.

    A batch is a pure function of (task, seed, step), so a run killed at any step and resumed from
    its checkpoint ends bit-identical on a CPU. Where batches are of texts that go on
    (:class:`~hmlcore.tasks.Continued`), each begins with the memory that the one before left, and no gradient
    flows between them (:mod:`hmlcore.training.tbptt`). A `group` of processes computes the same, up to
    rounding, and its checkpoints are as good for any number (:mod:`hmlcore.training.distributed`).

    Args:
        checkpoint: file to resume from and to save to, every `checkpoint_seconds` and on the way out; one that
            is damaged is kept under another name, which is said, and training begins again.
        run: the spec hash that the checkpoint belongs to.
        deadline: ``time.monotonic()`` value after which to save and raise :class:`Paused`.
        after_step: called with the number of steps done (tests interrupt here).
        on_point: called at each point of the learning curve with the step and loss, accuracy, lr,
            tokens_per_s, peak_memory_bytes and, on a GPU, gpu_utilisation (a fraction); auxiliary_energy and
            auxiliary_mixer where those losses are trained on; once the task is solved, the step as solved.
        group: who trains; all call with the same arguments, and the curve and the model are the same for all.
    Raises:
        Diverged: loss or gradient stopped being finite.
        HmlcoreError: the checkpoint is of another run or cannot be written, memory cannot be carried, a batch
            does not divide among the group, or tasks are to be solved of which a point of the curve sees only
            some.
        Paused, KeyboardInterrupt: after the checkpoint was saved.
    """
    check_instance("config", config, TrainingConfig)
    deadline = check_optional("deadline", deadline, check_number)
    checkpoint_seconds = check_number("checkpoint_seconds", checkpoint_seconds, 0)
    require(len(tasks) > 0, "tasks is empty; at least one is needed")
    require(
        config.solved_at is None or config.record_every >= len(tasks),
        f"solved_at = {config.solved_at} needs every task in each point of the curve, and record_every ="
        f" {config.record_every} is fewer steps than the {len(tasks)} tasks",
    )
    trainer = Trainer(model, tasks, config, device, group, checkpoint, run)
    with Reporter(trainer.progress, config, device, label, on_point, group.is_first) as reporter:
        _steps(trainer, reporter, deadline, checkpoint_seconds, after_step)
    group.unwrap(trainer.model, model)
    return trainer.progress


class Trainer:
    """One process's part of a training: the model, its optimiser, carried memory, and how far they are.

    Begins where `checkpoint` stands, if it is there and intact. Arguments as :func:`train`.
    Attributes: model, what of it is held here; optimizer; progress.
    """

    def __init__(
        self, model, tasks, config: TrainingConfig, device, group: ProcessGroup,
        checkpoint: Path | None = None, run=""
    ):  # fmt: skip
        group.check(config.batch_size, config.energy_penalty, config.auxiliary)
        self.tasks, self.config, self.device, self.group = tasks, config, device, group
        self._checkpoint, self._run = checkpoint, run
        carries = group.on_each(lambda: self._carries(model))
        self.model, self._objective = group.wrap(model.train(), device)
        rows = config.batch_size // group.world_size
        self._carried = CarriedState(cast(Backbone, self.model), rows) if carries else None
        self.optimizer = build_optimizer(self.model, config.lr, config.weight_decay, config.optimizer)
        self.progress = Progress()
        found = group.on_each(self._saved)  # all have looked before one moves it away
        group.on_each(lambda: self._resume(found))
        step = self.progress.step
        begun = group.broadcast(step)
        group.on_each(lambda: require(step == begun, f"not every process sees the checkpoint {checkpoint}"))

    def _carries(self, model: Backbone | Classifier) -> bool:
        """Whether memory is carried: a first batch of each task tells, before any work."""
        config = self.config
        batches = [task.batch("train", i, config.batch_size, config.seed) for i, task in enumerate(self.tasks)]
        return uses_tbptt(model, self.tasks, batches, config.batch_size, config.energy_penalty)

    def _saved(self) -> Saved | Damaged | None:
        """What the checkpoint holds, if there is one; weights and optimiser are restored."""
        if self._checkpoint is None:
            return None
        sweep(self._checkpoint.parent)
        if not self._checkpoint.exists():
            return None
        try:
            return load_checkpoint(self._checkpoint, self.model, self.optimizer, self._run)
        except Damaged as error:
            return error

    def _resume(self, found: Saved | Damaged | None) -> None:
        """Go on from what was found. What is damaged is kept under another name, and the run begins again."""
        if isinstance(found, Damaged) and self._checkpoint is not None and self.group.is_first:
            kept = set_aside(self._checkpoint)
            tqdm.write(f"hml: {found}: kept as {kept.name}, the run begins again", file=sys.stderr)
        if not isinstance(found, Saved):
            return
        self.progress = Progress.restored(found.progress)
        if self._carried is not None:
            rows = slice(self.group.rank, None, self.group.world_size)
            self._carried.restore({name: x[rows] for name, x in found.carried.items()})

    def save(self) -> None:
        """Write all that the next step needs, if there is to be a checkpoint."""
        if (path := self._checkpoint) is not None:
            group = self.group
            memory = None if self._carried is None else group.all_gather(self._carried.tensors())
            tensors = collected(self.model, self.optimizer, memory, keep=group.is_first)
            group.on_first(lambda: write_checkpoint(path, tensors, vars(self.progress), self._run))

    def step(self) -> float:
        """Learn from the next batch; the learning rate at which it did."""
        config, step = self.config, self.progress.step
        task = self.tasks[step % len(self.tasks)]
        batch = task.batch("train", step, config.batch_size, config.seed)
        rate = scheduled_rate(self.progress, config)
        set_rate(self.optimizer, rate)
        loss, accuracy, beside, state = self._gradient(task, batch)
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)))
        parts = torch.stack((loss, accuracy, *(x / self.group.world_size for x in beside.values())))
        loss, accuracy, *others = self.group.all_reduce(parts).tolist()
        beside = dict(zip(beside, others, strict=True))
        for name, x in (("loss", loss), *beside.items(), ("gradient norm", norm)):
            if not math.isfinite(x):
                said = f"the {name} became {x} at step {step}; lower lr = {config.lr}"
                raise Diverged(said, self.progress)
        with uninterrupted():
            self.optimizer.step()
            if self._carried is not None:
                self._carried.keep(state)
            self.progress.count(_tokens(batch), loss, accuracy, config, len(self.tasks), beside)
        return rate

    def _gradient(
        self, task: Task, batch: Batch | Continued | Labelled
    ) -> tuple[Tensor, Tensor, dict[str, Tensor], list]:
        """Fill the gradients; this process's share of loss and accuracy, its mean of other losses by name, and
        the state after its rows."""
        config, weights = self.config, auxiliary.weights(self.config)
        here = on_device(self.group.shard(batch), self.device)
        # Recorded only where another loss needs it: it may be a walk token by token, dear as several passes.
        recorded = recording(self.model, differentiable=True) if weights else nullcontext()
        with autocast(self.device, config.precision), recorded as traces:
            state = None
            if self._carried is not None:
                assert isinstance(here, Continued)  # as `_carries` saw
                state = self._carried.begin(here.fresh)
            sums, count = self._objective(here, state), scored(batch)
            loss, accuracy = sums.nats / count, sums.right / count
        self.optimizer.zero_grad(set_to_none=True)
        beside = {}
        if weights and traces is not None:
            beside = auxiliary.losses(self.model, traces, task, here, config, self.progress.step)
        # Parts of the loss, and gradients, add up over the group; its gradients arrive as means, as of other
        # losses, which are means over the rows of each process.
        total = loss * self.group.world_size
        for name, weight in weights.items():
            total = total + weight * beside[name]
        total.backward()
        return loss.detach(), accuracy, {name: x.detach() for name, x in beside.items()}, sums.state


def _steps(trainer: Trainer, reporter: Reporter, deadline, checkpoint_seconds, after_step) -> None:
    """All steps that are left, with a checkpoint now and then, and one where they end early."""
    progress, config = trainer.progress, trainer.config
    saved = began = time.monotonic()
    earlier = progress.seconds
    try:
        while progress.step < progress.end(config):
            rate = trainer.step()
            now = time.monotonic()
            progress.seconds = earlier + now - began
            reporter.step(rate)
            if after_step is not None:
                after_step(progress.step)
            late = deadline is not None and now > deadline and progress.step < progress.end(config)
            late, due = trainer.group.broadcast_flags(late, now - saved > checkpoint_seconds)
            if late:
                raise Paused(progress.step, progress.end(config))
            if due:
                trainer.save()
                saved = time.monotonic()
    except (KeyboardInterrupt, Paused):
        trainer.save()
        raise


def _tokens(batch: Batch | Continued | Labelled) -> int:
    """Tokens of a batch, padding left out."""
    return int(batch.lengths.sum()) if isinstance(batch, Labelled) else batch.inputs.numel()
