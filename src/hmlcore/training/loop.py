"""One training loop for every model: deterministic batches, clipping, autocast, exact resume."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from hmlcore.errors import HmlcoreError, require
from hmlcore.layers import recording
from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import Batch, Labelled, Task
from hmlcore.training.carried import Carried, carries
from hmlcore.training.checkpoint import load_checkpoint, save_checkpoint
from hmlcore.training.energy import blank_of, energy_change
from hmlcore.training.monitor import Monitor
from hmlcore.training.objective import on_device, scored, scored_sums
from hmlcore.training.optim import build_optimizer, learning_rate


@dataclass(frozen=True)
class TrainingConfig:
    """What determines a training, the model and tasks aside.

    Attributes:
        steps, batch_size, seed: the seed orders the data; weights are seeded where they are made.
        lr: peak learning rate; warmup: its steps; weight_decay: of matrices only.
        clip: largest gradient norm. precision: "fp32", or "bf16" autocast on a GPU.
        record_every: steps between points of the learning curve (each the mean since the last).
        energy_penalty: weight of :func:`~hmlcore.training.energy.energy_change` in the loss; the curve has the
            loss without it.
    """

    steps: int
    batch_size: int
    seed: int
    lr: float
    warmup: int = 0
    weight_decay: float = 0.1
    clip: float = 1.0
    precision: str = "fp32"
    record_every: int = 50
    energy_penalty: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "record_every"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(self.energy_penalty >= 0, f"energy_penalty must be at least 0, got {self.energy_penalty}")
        require(self.clip > 0, f"clip must be above 0, got {self.clip}")
        require(
            self.precision in ("fp32", "bf16"), f"precision must be 'fp32' or 'bf16', got {self.precision!r}"
        )


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: steps done; tokens: read in them; seconds: that they took.
        curve: [(step, mean loss, mean accuracy)], each the mean since the last.
        pending: (loss, accuracy) of the steps since the curve's last point.
        peak_memory_bytes, gpu_utilisation: see :class:`~hmlcore.training.monitor.Monitor`; None if unknown.
    """

    step: int = 0
    curve: list[tuple[int, float, float]] = field(default_factory=list)
    pending: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    tokens: int = 0
    peak_memory_bytes: int | None = None
    gpu_utilisation: float | None = None


class Paused(Exception):
    """The deadline came first; the checkpoint holds everything done so far."""

    def __init__(self, step: int, steps: int):
        super().__init__(f"paused at step {step} of {steps}")
        self.step, self.steps = step, steps


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
) -> Progress:
    """Train in place; step i learns from task i mod len(tasks), batch i.

    A batch is a pure function of (task, seed, step), so a run killed at any step and resumed from
    its checkpoint ends bit-identical on a CPU. Where batches are of texts that go on
    (:class:`~hmlcore.tasks.Continued`), each begins with the memory that the one before left, and no gradient
    flows between them (:mod:`hmlcore.training.carried`).

    Args:
        checkpoint: file to resume from and to save to, every `checkpoint_seconds` and on the way out.
        run: the spec hash that the checkpoint belongs to.
        deadline: ``time.monotonic()`` value after which to save and raise :class:`Paused`.
        after_step: called with the number of steps done (tests interrupt here).
        on_point: called at each point of the learning curve with the step and loss, accuracy, lr,
            tokens_per_s, peak_memory_bytes and, on a GPU, gpu_utilisation (a fraction).
    Raises:
        HmlcoreError: loss or gradient stopped being finite, the checkpoint cannot be used or written, or memory
            cannot be carried.
        Paused, KeyboardInterrupt: after the checkpoint was saved.
    """
    model.to(device).train()
    # A first batch of each task tells, before any work, whether memory is carried and can be.
    batches = [task.batch("train", i, config.batch_size, config.seed) for i, task in enumerate(tasks)]
    going_on = carries(model, tasks, batches, config.batch_size, config.energy_penalty)
    carried = Carried(model, config.batch_size) if going_on else None
    optimizer = build_optimizer(model, config.lr, config.weight_decay)
    progress = Progress()
    if checkpoint is not None and checkpoint.exists():
        found = load_checkpoint(checkpoint, model, optimizer, run)
        progress = Progress(**found.progress)
        if carried is not None:
            carried.restore(found.carried)
        progress.curve = [tuple(at) for at in progress.curve]
        progress.pending = [tuple(pair) for pair in progress.pending]

    def save() -> None:
        if checkpoint is not None:
            memory = None if carried is None else carried.tensors()
            save_checkpoint(checkpoint, model, optimizer, vars(progress), run, memory)

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

    bar = tqdm(total=config.steps, initial=progress.step, desc=label, disable=None, leave=False, unit="step")
    saved = began = time.monotonic()
    earlier = progress.seconds
    try:
        while progress.step < config.steps:
            _step(model, optimizer, tasks, config, progress, device, carried)
            now = time.monotonic()
            progress.seconds = earlier + now - began
            bar.update()
            if progress.curve and progress.curve[-1][0] == progress.step:
                point()
            if after_step is not None:
                after_step(progress.step)
            if deadline is not None and now > deadline and progress.step < config.steps:
                raise Paused(progress.step, config.steps)
            if now - saved > checkpoint_seconds:
                save()
                saved = time.monotonic()
    except (KeyboardInterrupt, Paused):
        save()
        raise
    finally:
        bar.close()
    return progress


def _step(model, optimizer, tasks, config: TrainingConfig, progress: Progress, device, carried) -> None:
    step = progress.step
    task = tasks[step % len(tasks)]
    batch = task.batch("train", step, config.batch_size, config.seed)
    rate = learning_rate(step, config.steps, config.lr, config.warmup)
    for group in optimizer.param_groups:
        group["lr"] = rate
    here = on_device(batch, device)
    with autocast(device, config.precision), _energies(model, config) as traces:
        state = None if carried is None else carried.begin(here.fresh)
        sums, count = scored_sums(model, here, state), scored(batch)
        loss, accuracy = sums.nats / count, sums.right / count
    optimizer.zero_grad(set_to_none=True)
    penalty = config.energy_penalty * energy_change(traces, here.inputs == blank_of(task)) if traces else 0.0
    (loss + penalty).backward()
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip))
    value, right = torch.stack((loss.detach(), accuracy)).tolist()
    for name, x in (("loss", value), ("gradient norm", norm)):
        if not math.isfinite(x):
            raise HmlcoreError(f"the {name} became {x} at step {step}; lower lr = {config.lr}")
    with _uninterrupted():
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


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the block is done: a checkpoint never holds half an update."""
    ours = threading.current_thread() is threading.main_thread()  # only there do signals arrive
    if not ours or signal.getsignal(signal.SIGINT) is None:  # None: not Python's to replace
        yield
        return
    asked = []
    before = signal.signal(signal.SIGINT, lambda *signal_and_frame: asked.append(signal_and_frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked and callable(before):
        before(*asked[0])
