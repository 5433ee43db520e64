"""The grids of tasks and parts: equal parameters, equal floats of state, one rate, seeds outermost."""

from typing import Any

from hmlcore.studies.holographic import LAYER, RIVALS, capacity, cost
from hmlcore.studies.kit.comparison import DEFAULT, case_spec, task_spec
from hmlcore.studies.kit.families import cases, measure
from hmlcore.studies.kit.ground import ROTORS, model_ground, norm_ground
from hmlcore.studies.kit.study import Protocol

TASKS = ("recall", "overwrite", "copy", "needle", "bytes")
PARTS_OF = ("recall", "overwrite")
WEIGHT = 0.1
"""Of the loss beside the task's."""
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        lr=1e-2, seeds=3, parts_seeds=3, steps=3, text=3, lag=6, overwrite=([(2, 4)], [(2, 4)]), vocab=34,
    ),
    "laptop": dict(
        lr=1e-2, seeds=5, parts_seeds=3, steps=1000, text=400, lag=12,
        overwrite=([(2, 8), (4, 12), (8, 24)], [(4, 12), (8, 24), (8, 48)]), vocab=130,
    ),
    "full": dict(
        lr=3e-3, seeds=5, parts_seeds=5, steps=20_000, text=20_000, lag=48,
        overwrite=([(8, 32), (16, 64), (32, 128)], [(32, 128), (64, 256)]), vocab=1026,
    ),
}  # fmt: skip
PARTS: dict[str, tuple[str, dict, float]] = {
    "unitary": (LAYER, {}, 0.0),
    "convolution": (LAYER, {"binding": "convolution"}, 0.0),
    "signs": (LAYER, {"binding": "bipolar"}, 0.0),
    "4 slots": (LAYER, {"slots": 4}, 0.0),
    "4 slots shared": (LAYER, {"slots": 4, "routing": "soft"}, 0.0),
    "no decay": (LAYER, {"decay": "none"}, 0.0),
    "fast and slow": (LAYER, {"slots": 2, "decay": "fast_slow"}, 0.0),
    "loss at lag 0": (LAYER, {"lag": 0}, WEIGHT),
    "loss at random lags": (LAYER, {}, WEIGHT),
    "as described": ("holographic_legacy", {}, 0.0),
    "as described with its loss": ("holographic_legacy", {}, WEIGHT),
    "as described and keys redrawn": ("holographic_legacy", {"keys": "redrawn"}, 0.0),
}
"""Variant → mixer, what it is given beside `dim`, the weight of its loss."""


def floats(s: dict) -> int:
    """Of state a block: 2·N·d_model, N = d_model / heads."""
    return 2 * s["d_model"] ** 2 // s["heads"]


def given(variant: str, s: dict) -> tuple[str, dict]:
    """The mixer of a rival, or of the layer, and its arguments: equal floats of state, the common ground."""
    d, heads = s["d_model"], s["heads"]
    rows = {"num_heads": 2 * heads, "head_dim": d // heads}
    own = {
        "attention": {"num_heads": heads},
        "gated DeltaNet": rows | {"expand_v": 1, "gate_init": "slow"} | norm_ground(),
        "HML": rows | dict(DEFAULT.hml) | norm_ground() | ROTORS,
        "Mamba-2": {"d_state": d // heads, "head_dim": 2 * d // heads},
        LAYER: {"dim": floats(s)} | norm_ground(),
    }
    return RIVALS.get(variant, LAYER), own[variant]


def _cases(profile: str) -> dict[str, dict]:
    s, found = _SETTINGS[profile], cases(profile)
    (train, test), own = s["overwrite"], dict(found["recall"])
    named = {name: [task_spec("overwrite", keys=k, writes=w, vocab=s["vocab"]) for k, w in sizes]
             for name, sizes in (("train", train), ("test", test))}  # fmt: skip
    found["overwrite"] = own | named
    return {
        task: found[task] | {"steps": s["text" if task == "bytes" else "steps"]}
        | ({"solved_at": None} if task == "bytes" else {})
        for task in TASKS
    }  # fmt: skip


def _spec(
    experiment: str, profile: str, task: str, variant: str, mixer: str, arguments: dict, seed: int, **own
):
    spec = case_spec(
        experiment, profile, task, _cases(profile)[task], mixer, seed, _SETTINGS[profile]["lr"],
        variant=variant, mixer_args=arguments, optimizer="muon", **own,
    )  # fmt: skip
    spec["model"] |= model_ground()
    return spec


def tasks_grid(profile: str) -> list[dict]:
    """Every memory on every task, seeds outermost."""
    found = _cases(profile)
    return [
        _spec("holographic_tasks", profile, task, variant, *given(variant, found[task]), seed)
        for seed in range(_SETTINGS[profile]["seeds"])
        for task in TASKS
        for variant in (LAYER, *RIVALS)
    ]


def parts_grid(profile: str) -> list[dict]:
    """Every variant of the layer on recall and overwriting, at equal floats of state."""
    specs = []
    for seed in range(_SETTINGS[profile]["parts_seeds"]):
        for task in PARTS_OF:
            s = _cases(profile)[task]
            size = floats(s)
            for variant, (mixer, own, weight) in PARTS.items():
                if mixer == LAYER:
                    arguments = {"dim": size // own.get("slots", 1)} | norm_ground()
                else:  # its unbinding is a map of D to D, which leaves little for an MLP
                    arguments = {"dim": s["d_model"], "slots": size // s["d_model"]}
                arguments |= {"lag": _SETTINGS[profile]["lag"]} if variant == "loss at random lags" else {}
                beside = {"auxiliary": weight} if weight else {}
                specs.append(
                    _spec(
                        "holographic_ablation", profile, task, variant, mixer, arguments | own, seed, **beside
                    )
                )
    return specs


PROTOCOLS = {
    "holographic_capacity": Protocol(capacity.grid, side_by_side=capacity.measure_all),
    "holographic_cost": Protocol(cost.grid, side_by_side=cost.measure_all),
    "holographic_tasks": Protocol(tasks_grid, measure),
    "holographic_ablation": Protocol(parts_grid, measure),
}
