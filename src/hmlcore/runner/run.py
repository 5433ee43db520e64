"""One run, start to finish: build, train (or resume), measure, store."""

import math
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch
from tqdm import tqdm

from hmlcore import paths
from hmlcore.evaluation.metrics import evaluate
from hmlcore.models import Backbone, Classifier
from hmlcore.models.saved import save_model
from hmlcore.ops.backend import default_device
from hmlcore.results import Run, Store, collect_provenance, source_revision, spec_hash
from hmlcore.runner.model import build_model, check_machine
from hmlcore.studies import get_experiment, protocol
from hmlcore.studies.kit.comparison import task_from
from hmlcore.tasks import Task
from hmlcore.tasks.bpe import BPE
from hmlcore.tasks.text import Text
from hmlcore.training import SINGLE_PROCESS, Diverged, ProcessGroup, Progress, TrainingConfig, autocast, train
from hmlcore.training.allocator import keep_freed_memory
from hmlcore.training.trackers import open_tracker


def checkpoint_path(spec: dict) -> Path:
    """Where the unfinished run of `spec` waits."""
    return paths.checkpoints() / f"{spec['experiment']}-{spec_hash(spec)[:16]}.safetensors"


def device_name(device: torch.device) -> str:
    """The GPU's product name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def execute(
    spec: dict,
    store: Store,
    *,
    deadline: float | None = None,
    force: bool = False,
    label: str = "",
    log: str | None = None,
    save_models: Path | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Path:
    """Run `spec` and store the result; an earlier unfinished attempt is resumed.

    A training that diverges is a result: it is stored with NaN for every score, which counts as the worst.

    Args:
        deadline: ``time.monotonic()`` value after which to save a checkpoint and raise ``Paused``.
        force: allow what the profile forbids (see ``check_machine``).
        log: where the learning curve goes besides the store, a name of ``training.trackers.TRACKERS``.
        save_models: a folder that keeps the trained model, under the name of its checkpoint.
        group: the processes that train it together; the first of them measures and stores.
    Returns: the stored file.
    Raises: Paused, KeyboardInterrupt after a checkpoint; HmlcoreError for what cannot run.
    """
    device = default_device()
    check_machine(spec["profile"], device, source_revision()[1], force)
    if device.type == "cpu":
        keep_freed_memory()
    started = datetime.now(UTC)
    tasks = [task_from(t) for t in spec["train"]]
    model = group.on_each(lambda: build_model(spec, tasks[0]))
    waiting = checkpoint_path(spec)
    lost = False
    with open_tracker(log if group.is_first else None, spec, label) as tracker:
        try:
            progress = train(
                model, tasks, _config(spec, len(tasks)), device=device, checkpoint=waiting,
                run=spec_hash(spec), deadline=deadline, label=label, on_point=tracker.log, group=group,
            )  # fmt: skip
        except Diverged as error:
            if group.world_size > 1:  # each holds a part of the model
                raise
            progress, lost = error.progress, True
            tqdm.write(f"hml: {label}: {error}; stored as diverged", file=sys.stderr)

    def keep() -> Path:
        many = "" if group.world_size == 1 else f"{group.world_size} x "
        machine = many + device_name(device)
        run = measure(spec, model.to(device), tasks, progress, device, started, machine, lost)
        # Before the store, after which the run would not be made again.
        if save_models is not None and not lost:
            save_model(save_models / waiting.name, model, {"spec": spec, **_reader(tasks[0])})
        path = store.write(run)
        waiting.unlink(missing_ok=True)
        return path

    return group.on_first(keep, interruptible=True)


def _config(spec: dict, tasks: int) -> TrainingConfig:
    """How a run of so many tasks is trained."""
    return TrainingConfig(
        **{k: spec[k] for k in ("steps", "batch_size", "seed", "lr", "warmup", "weight_decay", "precision")},
        record_every=max(tasks if "solved_at" in spec else 1, spec["steps"] // 40),
        energy_penalty=spec.get("energy_penalty", 0.0),
        auxiliary=spec.get("auxiliary", 0.0),
        optimizer=spec.get("optimizer", "adamw"),
        solved_at=spec.get("solved_at"),
        cool_down=spec.get("cool_down"),
    )


def _reader(task: Task) -> dict:
    """What turns text into a model's tokens, so that a saved model can be given a prompt."""
    tokenizer = task.opened_tokenizer if isinstance(task, Text) else None
    return {"tokenizer": tokenizer.text} if isinstance(tokenizer, BPE) else {}


def measure(
    spec: dict,
    model: Backbone | Classifier,
    tasks: list[Task],
    progress: Progress,
    device: torch.device,
    started: datetime,
    machine: str | None = None,
    lost: bool = False,
) -> Run:
    """Score a trained model on everything its spec asks for; `machine` is what trained it, if not `device`.

    Where the training is `lost`, every score is NaN, and the model is not examined nor followed.
    """
    experiment = protocol(spec["experiment"])
    assert experiment.measure is not None  # as of all that are trained
    rows = _of_training(progress)
    if "solved_at" in spec:
        rows += _of_the_end(progress)
    if lost:
        rows.append({"metric": "diverged", "split": "train", "step": progress.step, "value": 1.0})
    with autocast(device, spec["precision"]):
        for asked in spec["evaluate"]:
            task = task_from(asked)
            scores = evaluate(model, task, asked["split"], asked["examples"], asked["batch_size"], device)
            here = {
                **task.conditions(), "length": task.length, "split": asked["split"],
                "state_floats": model.state_size(task.length),
                "state_bytes": 4 * model.state_size(task.length),
                "flops_per_token": model.flops_per_token(task.length),
            }  # fmt: skip
            rows += [
                here | row | ({"value": math.nan} if lost else {}) for row in experiment.measure(task, scores)
            ]
        own = {field: spec[field] for field in get_experiment(spec["experiment"]).factors if field in spec}
        rows = [row | own for row in rows]
        if experiment.examine is not None and not lost:
            rows += [row | own for row in experiment.examine(model, build_model(spec, tasks[0]), spec)]
        trace = None
        if "trace" in spec and not lost:
            assert experiment.trace is not None
            trace = experiment.trace(model, task_from(spec["trace"]))
    length = max(t.length for t in tasks)
    source = tasks[0].provenance()
    provenance = collect_provenance(
        machine or device_name(device),
        steps=progress.step,
        parameters=model.parameter_count,
        state_floats=model.state_size(length),
        state_bytes=4 * model.state_size(length),
        flops_per_token=model.flops_per_token(length),
        wall_s=progress.seconds,
        tokens_per_s=progress.tokens / max(progress.seconds, 1e-9),
        started_at=started,
        data_version=source.get("data_version", ""),
        data_sha256=source.get("data_sha256", ""),
    )
    return Run(spec, provenance, rows, trace)


def _of_training(progress: Progress) -> list[dict]:
    """The learning curve, and what training cost the machine, as rows."""
    rows = []
    for step, loss, accuracy in progress.curve:
        rows.append({"metric": "loss", "split": "train", "step": step, "value": loss})
        rows.append({"metric": "accuracy", "split": "train", "step": step, "value": accuracy})
    for name, points in progress.beside.items():
        rows += [
            {"metric": f"auxiliary_{name}", "split": "train", "step": step, "value": value}
            for step, value in points
        ]
    for metric in ("peak_memory_bytes", "gpu_utilisation"):
        if (value := getattr(progress, metric)) is not None:
            rows.append({"metric": metric, "split": "train", "value": value})
    return rows


def _of_the_end(progress: Progress) -> list[dict]:
    """Whether training ended because it was solved, and when it got to .9, as rows.

    They are of the training split: on another machine they may come a point of the curve sooner or later, and
    made again they are compared no more than the curve is.
    """
    return [
        {"metric": "solved", "split": "train", "value": float(progress.solved is not None)},
        {"metric": "steps_to_90", "split": "train", "value": progress.steps_to(0.9)},
    ]
