"""One run, start to finish: build, train (or resume), measure, store."""

from datetime import UTC, datetime
from pathlib import Path

import torch

from hmlcore import paths
from hmlcore.evaluation.metrics import evaluate
from hmlcore.experiments.base import build_model, check_machine, task_from
from hmlcore.experiments.registry import get_experiment
from hmlcore.models import Backbone
from hmlcore.ops.backend import default_device
from hmlcore.results import Run, Store, collect_provenance, source_revision, spec_hash
from hmlcore.tasks import Task
from hmlcore.training import Progress, TrainingConfig, autocast, train


def checkpoint_path(spec: dict) -> Path:
    """Where the unfinished run of `spec` waits."""
    return paths.checkpoints() / f"{spec['experiment']}-{spec_hash(spec)[:16]}.safetensors"


def device_name(device: torch.device) -> str:
    """The GPU's product name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def execute(
    spec: dict, store: Store, *, deadline: float | None = None, force: bool = False, label: str = ""
) -> Path:
    """Run `spec` and store the result; an earlier unfinished attempt is resumed.

    Args:
        deadline: ``time.monotonic()`` value after which to save a checkpoint and raise ``Paused``.
        force: allow what the profile forbids (see ``check_machine``).
    Returns: the stored file.
    Raises: Paused, KeyboardInterrupt after a checkpoint; HmlcoreError for what cannot run.
    """
    device = default_device()
    check_machine(spec["profile"], device, source_revision()[1], force)
    started = datetime.now(UTC)
    tasks = [task_from(t) for t in spec["train"]]
    model = build_model(spec, tasks[0].vocab_size)
    config = TrainingConfig(
        **{k: spec[k] for k in ("steps", "batch_size", "seed", "lr", "warmup", "weight_decay", "precision")},
        record_every=max(1, spec["steps"] // 40),
    )
    waiting = checkpoint_path(spec)
    progress = train(
        model, tasks, config, device=device, checkpoint=waiting, run=spec_hash(spec), deadline=deadline,
        label=label,
    )  # fmt: skip
    run = measure(spec, model, tasks, progress, device, started)
    path = store.write(run)
    waiting.unlink(missing_ok=True)
    return path


def measure(
    spec: dict, model: Backbone, tasks: list[Task], progress: Progress, device: torch.device, started: datetime
) -> Run:
    """Score a trained model on everything its spec asks for."""
    experiment = get_experiment(spec["experiment"])
    rows = [{"metric": "loss", "split": "train", "step": s, "value": v} for s, v in progress.curve]
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
            rows += [here | row for row in experiment.measure(task, scores)]
        trace = experiment.trace(model, task_from(spec["trace"])) if "trace" in spec else None
    length = max(t.length for t in tasks)
    source = tasks[0].provenance()
    provenance = collect_provenance(
        device_name(device),
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
