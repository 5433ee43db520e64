"""Sizes that the system was described in, 21 to 100 million parameters, counted; a step of one is measured."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import torch

from hmlcore.evaluation import speed
from hmlcore.models import Backbone, BackboneConfig, match_parameters
from hmlcore.results import Run, collect_provenance
from hmlcore.studies.holographic import LAYER
from hmlcore.studies.kit.comparison import make_spec
from hmlcore.training.optim import build_optimizer

SIZES = {21: (384, 6, 3072, 8), 50: (512, 8, 4096, 8), 100: (768, 10, 6144, 8)}
"""Millions of parameters → d_model, blocks, D, S."""
VOCABULARY = 16_384
LENGTHS = (16, 256, 2048)
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(step=(1, 32), small=(64, 2, 128, 2)),
    "laptop": dict(step=(1, 2048)),
    "full": dict(step=(8, 2048)),
}


def grid(profile: str) -> list[dict]:
    """One spec a size.

    Settings: `step`, batch and length of the measured step of the smallest; `small`, in `smoke`, the d_model,
    blocks, D and S of what takes its place there.
    """
    return [
        make_spec(
            "holographic_sizes", profile, LAYER, seed=0, precision="fp32", train=[], evaluate=[],
            millions=millions, model={"d_model": size[0], "layers": size[1]}, lengths=list(LENGTHS),
            **({"step": s["step"], "small": s.get("small")} if millions == min(SIZES) else {}),
        )
        for s in (_SETTINGS[profile],)
        for millions, size in SIZES.items()
    ]  # fmt: skip


def config(millions: int) -> BackboneConfig:
    """The model of so many million parameters, within one in a hundred."""
    d_model, layers, dim, slots = SIZES[millions]
    given = {"dim": dim, "slots": slots}
    return match_parameters(
        BackboneConfig(VOCABULARY, LAYER, d_model, layers, d_model, given), millions * 10**6
    )


def measure_all(specs: list[dict], device: torch.device) -> list[Run]:
    """Rows by `length`: parameters, state_floats and flops_per_token, of models that are never made; of the
    smallest also cpu_seconds, of all cores, and peak_bytes of a step of training, weights and optimiser not
    counted."""
    runs = []
    for spec in specs:
        started, begun = datetime.now(UTC), time.perf_counter()
        rows = [*_counted(spec)]
        if spec.get("step"):
            rows += _step(spec, device)
        by = {row["metric"]: row["value"] for row in rows}
        provenance = collect_provenance(
            "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device), steps=0,
            parameters=int(by["parameters"]), state_floats=int(by["state_floats"]),
            state_bytes=4 * int(by["state_floats"]), flops_per_token=by["flops_per_token"],
            wall_s=time.perf_counter() - begun, tokens_per_s=0.0, started_at=started,
        )  # fmt: skip
        runs.append(Run(spec, provenance, [{"millions": spec["millions"]} | row for row in rows]))
    return runs


def _counted(spec: dict) -> Iterator[dict]:
    with torch.device("meta"):
        model = Backbone(config(spec["millions"]))
    for length in spec["lengths"]:
        found = {
            "parameters": model.parameter_count, "state_floats": model.state_size(length),
            "flops_per_token": model.flops_per_token(length),
        }  # fmt: skip
        for metric, value in found.items():
            yield {"metric": metric, "value": float(value), "length": length, "n": 1}


def _step(spec: dict, device: torch.device) -> list[dict]:
    batch, length = spec["step"]
    own = config(spec["millions"])
    if spec.get("small"):
        d_model, layers, dim, slots = spec["small"]
        own = BackboneConfig(256, LAYER, d_model, layers, d_model, {"dim": dim, "slots": slots})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec["seed"])
        model = Backbone(own).to(device)
    optimizer = build_optimizer(model, 1e-3, 0.1)
    tokens = torch.zeros(batch, length + 1, dtype=torch.long, device=device)

    def run() -> None:
        logits, _ = model(tokens[:, :-1])
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    run()  # the first makes the optimiser's state
    held, _ = speed.peak_memory(run, device)
    here = {"length": length, "n": 1}
    begun = time.process_time()  # what others do on this machine is not counted
    run()
    seconds = time.process_time() - begun
    return [
        {"metric": "peak_bytes", "value": float(held), **here},
        {"metric": "cpu_seconds", "value": seconds, **here},
    ]
