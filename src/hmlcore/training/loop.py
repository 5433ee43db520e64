"""One training loop for every model: deterministic batches, clipping, autocast, exact resume."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from tqdm import tqdm

from hmlcore.errors import HmlcoreError, require
from hmlcore.layers import recording
from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import Batch, Labelled, Task
from hmlcore.training.carried import Carried, carries
from hmlcore.training.checkpoint import collected, load_checkpoint, write_checkpoint
from hmlcore.training.distributed import ALONE, Team
from hmlcore.training.energy import blank_of, energy_change
from hmlcore.training.interrupts import uninterrupted
from hmlcore.training.monitor import Monitor
from hmlcore.training.objective import on_device, scored
from hmlcore.training.optim import build_optimizer, learning_rate
from hmlcore.training.settings import Paused, Progress, TrainingConfig
from hmlcore.training.sharding import whole


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
    team: Team = ALONE,
) -> Progress:
    """Train in place; step i learns from task i mod len(tasks), batch i.

    A batch is a pure function of (task, seed, step), so a run killed at any step and resumed from
    its checkpoint ends bit-identical on a CPU. Where batches are of texts that go on
    (:class:`~hmlcore.tasks.Continued`), each begins with the memory that the one before left, and no gradient
    flows between them (:mod:`hmlcore.training.carried`). A `team` of processes computes the same, up to
    rounding, and its checkpoints are as good for any number (:mod:`hmlcore.training.distributed`).

    Args:
        checkpoint: file to resume from and to save to, every `checkpoint_seconds` and on the way out.
        run: the spec hash that the checkpoint belongs to.
        deadline: ``time.monotonic()`` value after which to save and raise :class:`Paused`.
        after_step: called with the number of steps done (tests interrupt here).
        on_point: called at each point of the learning curve with the step and loss, accuracy, lr,
            tokens_per_s, peak_memory_bytes and, on a GPU, gpu_utilisation (a fraction).
        team: who trains; all call with the same arguments, and the curve and the model are the same for all.
    Raises:
        HmlcoreError: loss or gradient stopped being finite, the checkpoint cannot be used or written, memory
            cannot be carried, or a batch does not divide among the team.
        Paused, KeyboardInterrupt: after the checkpoint was saved.
    """
    team.check(config.batch_size, config.energy_penalty)
    model.train()
    going_on = team.each(lambda: _goes_on(model, tasks, config))
    held, objective = team.prepare(model, device)
    carried = Carried(held, config.batch_size // team.world) if going_on else None
    optimizer = build_optimizer(held, config.lr, config.weight_decay)
    progress = Progress()
    if checkpoint is not None and checkpoint.exists():
        found = load_checkpoint(checkpoint, held, optimizer, run)
        progress = Progress(**found.progress)
        if carried is not None:
            carried.restore({name: x[team.rank :: team.world] for name, x in found.carried.items()})
        progress.curve = [tuple(at) for at in progress.curve]
        progress.pending = [tuple(pair) for pair in progress.pending]
    begun = team.share(progress.step)
    team.each(lambda: require(progress.step == begun, f"not every process sees the checkpoint {checkpoint}"))

    def save() -> None:
        if checkpoint is not None:
            memory = None if carried is None else team.gathered(carried.tensors())
            tensors = collected(held, optimizer, memory, keep=team.first)
            team.first_does(lambda: write_checkpoint(checkpoint, tensors, vars(progress), run))

    monitor = Monitor(device)
    before = progress.peak_memory_bytes or 0
    last = progress.tokens, time.monotonic()

    def point() -> None:
        """Notes what the machine does, and shows and passes on the newest point of the curve."""
        nonlocal last
        monitor.sample()
        peak = monitor.peak_memory_bytes()
        progress.peak_memory_bytes = None if peak is None else max(peak, before)
        progress.gpu_utilisation = monitor.gpu_utilisation()
        tokens, since = progress.tokens - last[0], time.monotonic() - last[1]
        last = progress.tokens, time.monotonic()
        step, loss, accuracy = progress.curve[-1]
        values = {
            "loss": loss, "accuracy": accuracy, "lr": optimizer.param_groups[0]["lr"],
            "tokens_per_s": tokens / max(since, 1e-9), "peak_memory_bytes": progress.peak_memory_bytes,
            "gpu_utilisation": progress.gpu_utilisation,
        }  # fmt: skip
        bar.set_postfix_str(f"loss {loss:.3f}, accuracy {accuracy:.3f}, {values['tokens_per_s']:,.0f} tokens/s")
        if on_point is not None:
            on_point(step, {name: value for name, value in values.items() if value is not None})

    quiet = None if team.first else True  # None: quiet unless this is a terminal
    bar = tqdm(total=config.steps, initial=progress.step, desc=label, disable=quiet, leave=False, unit="step")
    saved = began = time.monotonic()
    earlier = progress.seconds
    try:
        while progress.step < config.steps:
            _step(held, objective, optimizer, tasks, config, progress, device, carried, team)
            now = time.monotonic()
            progress.seconds = earlier + now - began
            bar.update()
            if progress.curve and progress.curve[-1][0] == progress.step:
                point()
            if after_step is not None:
                after_step(progress.step)
            late = deadline is not None and now > deadline and progress.step < config.steps
            late, due = team.decide(late, now - saved > checkpoint_seconds)
            if late:
                raise Paused(progress.step, config.steps)
            if due:
                save()
                saved = time.monotonic()
    except (KeyboardInterrupt, Paused):
        save()
        raise
    finally:
        bar.close()
    team.finish(held, model)
    return progress


def _goes_on(model: Backbone | Classifier, tasks: Sequence[Task], config: TrainingConfig) -> bool:
    """Whether memory is carried: a first batch of each task tells, before any work."""
    batches = [task.batch("train", i, config.batch_size, config.seed) for i, task in enumerate(tasks)]
    return carries(model, tasks, batches, config.batch_size, config.energy_penalty)


def _step(
    model, objective, optimizer, tasks, config: TrainingConfig, progress: Progress, device, carried, team: Team
) -> None:
    step = progress.step
    task = tasks[step % len(tasks)]
    batch = task.batch("train", step, config.batch_size, config.seed)
    rate = learning_rate(step, config.steps, config.lr, config.warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate
    here = on_device(team.rows(batch), device)
    with autocast(device, config.precision), _energies(model, config) as traces:
        state = None if carried is None else carried.begin(here.fresh)
        sums, count = objective(here, state), scored(batch)
        loss, accuracy = sums.nats / count, sums.right / count
    optimizer.zero_grad(set_to_none=True)
    penalty = config.energy_penalty * energy_change(traces, here.inputs == blank_of(task)) if traces else 0.0
    # Parts of the loss, and gradients, add up over the team; its gradients arrive as means.
    (loss * team.world + penalty).backward()
    norm = float(whole(torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip)))
    value, right = team.total(torch.stack((loss.detach(), accuracy))).tolist()
    for name, x in (("loss", value), ("gradient norm", norm)):
        if not math.isfinite(x):
            raise HmlcoreError(f"the {name} became {x} at step {step}; lower lr = {config.lr}")
    with uninterrupted():
        optimizer.step()
        if carried is not None:
            carried.keep(sums.state)
        progress.step += 1
        progress.tokens += _tokens(batch)
        progress.pending.append((value, right))
        if progress.step % config.record_every == 0 or progress.step == config.steps:
            means = (sum(column) / len(progress.pending) for column in zip(*progress.pending, strict=True))
            progress.curve.append((progress.step, *means))
            progress.pending.clear()


def _energies(model: Backbone | Classifier, config: TrainingConfig) -> AbstractContextManager:
    """Records what the penalty needs, if there is one: a walk token by token, which costs several passes."""
    return recording(model, differentiable=True) if config.energy_penalty else nullcontext()


def _tokens(batch: Batch | Labelled) -> int:
    """Tokens of a batch, padding left out."""
    return int(batch.lengths.sum()) if isinstance(batch, Labelled) else batch.inputs.numel()
