"""The grid of the ablations: the leapfrog layer as first proposed, and one factor changed at a time."""

from typing import Any

from hmlcore.studies.kit.comparison import case_spec, measure, task_spec
from hmlcore.studies.kit.study import Protocol

BASE = {"dynamics": "leapfrog"}
FACTORS: dict[str, tuple[str, dict]] = {
    "base": ("", {}),
    "undamped": ("A1", {"damping": 1.0}),
    "fixed damping": ("A1", {"damping": 0.9}),
    "into both": ("A2", {"injection": "both"}),
    "Euler": ("A3", {"dynamics": "euler"}),
    "energy .001": ("A4", {"energy_penalty": 1e-3}),
    "energy .01": ("A4", {"energy_penalty": 1e-2}),
    "step ½": ("A5", {"step_size": 0.5}),
    "step ¼": ("A5", {"step_size": 0.25}),
}
"""Variant → the protocol's number of its factor, and what it changes."""

_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        copy=[(2, 4)], overwrite=[(2, 4)], vocab=34, seeds=2, lr=1e-2, steps=3, batch_size=4, d_model=16,
        heads=2, examples=4,
    ),
    "laptop": dict(
        copy=[(4, 8), (8, 16), (4, 64)], overwrite=[(2, 8), (4, 12), (8, 24)], vocab=66, seeds=3, lr=1e-2,
        steps=800, batch_size=16, d_model=32, heads=4, examples=256,
    ),
    "full": dict(
        copy=[(8, 64), (16, 256), (32, 512)], overwrite=[(16, 64), (32, 128), (64, 256)], vocab=514, seeds=5,
        lr=3e-3, steps=20_000, batch_size=128, d_model=128, heads=4, examples=1024,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile, seeds outermost."""
    s = dict(_SETTINGS[profile])
    copies, writes = s.pop("copy"), s.pop("overwrite")
    pairs = {
        "copy": [task_spec("copy", payload=p, delay=d, cue="previous") for p, d in copies],
        "overwrite": [task_spec("overwrite", keys=k, writes=w, vocab=s["vocab"]) for k, w in writes],
    }
    layers = {"copy": 1, "overwrite": 2}
    return [
        _spec(profile, task, {**s, "train": tasks, "test": tasks, "layers": layers[task]}, variant, seed)
        for seed in range(s["seeds"])
        for task, tasks in pairs.items()
        for variant, (_, change) in FACTORS.items()
        if task == "copy" or "energy_penalty" not in change
    ]


def _spec(profile: str, task: str, s: dict, variant: str, seed: int) -> dict:
    _, change = FACTORS[variant]
    change = dict(change)
    penalty = {"energy_penalty": change.pop("energy_penalty")} if "energy_penalty" in change else {}
    given = {"num_heads": s["heads"], "head_dim": s["d_model"] // s["heads"], **BASE, **change}
    own = {"variant": variant, "mixer_args": given, **penalty}
    return case_spec("synthetic_ablation", profile, task, s, "hml", seed, s["lr"], **own)


PROTOCOLS = {"synthetic_ablation": Protocol(grid, measure)}
