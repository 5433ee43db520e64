"""The grids of tasks and parts: equal parameters, equal floats of state, each at its rate, seeds outermost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hmlcore.models import Backbone
from hmlcore.studies.holographic import DESCRIBED, LAYER, RIVALS, capacity, cost, portrait, sizes, text
from hmlcore.studies.holographic.variants import PARTS, PARTS_OF
from hmlcore.studies.kit.comparison import DEFAULT, case_spec, scored, task_from, task_spec
from hmlcore.studies.kit.families import cases, measure
from hmlcore.studies.kit.ground import ROTORS, model_ground, norm_ground
from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.kit.tuning import Tuned, rates_due, rates_to_try, read_tuned
from hmlcore.tasks.needle import RULER

TASKS = ("recall", "overwrite", "copy", "needle", "bytes")
TUNING = 0
"""The seed that rates are chosen with; it is never tested."""
SEEDS = {"smoke": [1, 2, 3], "laptop": [1, 2, 3, 4, 5], "full": [1, 2, 3, 4, 5]}
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        lrs=[1e-2], steps=3, lag=6, overwrite=([(2, 4)], [(2, 4)]), vocab=34, examples=4, needle=[48, 96],
        books=dict(steps=3),
    ),
    "laptop": dict(
        lrs=[3e-3, 1e-2, 3e-2], steps=800, lag=12, examples=128, needle=[128, 512], vocab=130,
        overwrite=([(2, 8), (4, 12), (8, 24)], [(4, 12), (8, 24), (8, 48)]),
        books=dict(steps=300, d_model=64, examples=256),
    ),
    "full": dict(
        lrs=[1e-3, 3e-3, 1e-2], steps=20_000, lag=48, examples=1024, needle=[512, 4096, 16_384], vocab=1026,
        overwrite=([(8, 32), (16, 64), (32, 128)], [(32, 128), (64, 256)]), books=dict(steps=20_000),
    ),
}  # fmt: skip


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
    found["needle"] |= {"test": [task_spec("needle", length=n, **RULER["multikey_1"]) for n in s["needle"]]}
    sizes = {key: s[key] for key in ("steps", "examples")}
    books = s["books"] | {"solved_at": None}
    return {task: found[task] | sizes | (books if task == "bytes" else {}) for task in TASKS}


def _spec(
    experiment: str, profile: str, task: str, variant: str, mixer: str, arguments: dict, seed: int, lr: float,
    **own,
):  # fmt: skip
    s = _cases(profile)[task]
    choice = experiment == "holographic_tuning"
    if choice and task == "bytes":
        s["steps"] = max(3, s["steps"] // 3)
    spec = case_spec(
        experiment, profile, task, s, mixer, seed, lr, variant=variant, mixer_args=arguments, optimizer="muon",
        **own,
    )  # fmt: skip
    if choice:
        spec["evaluate"] = scored(s["train"], "validation", s["examples"])
    spec["model"] |= model_ground()
    return spec


def _stored(profile: str) -> Mapping:
    return read_tuned(Path(__file__).parent).get(profile, {}).get("holographic_tuning", {})


def _tuned(profile: str, task: str, variant: str, mixer: str) -> Tuned | None:
    return _stored(profile).get(f"{task}, {variant}", {}).get(mixer)


def tuning_grid(profile: str) -> list[dict]:
    """Every memory at every rate on every task, and the system as described on recall; of books a third of the
    steps. Nothing here is tested."""
    found = _cases(profile)
    rows = {task: {v: given(v, s) for v in (LAYER, *RIVALS)} for task, s in found.items()}
    rows["recall"][DESCRIBED] = part(DESCRIBED, found["recall"], profile)[:2]
    return [
        _spec("holographic_tuning", profile, task, variant, mixer, arguments, TUNING, lr)
        for task, variants in rows.items()
        for variant, (mixer, arguments) in variants.items()
        for lr in rates_to_try(_SETTINGS[profile]["lrs"], _tuned(profile, task, variant, mixer))
    ]


def _rate(profile: str, task: str, variant: str, mixer: str) -> float:
    (lr,) = rates_due(_SETTINGS[profile]["lrs"], _tuned(profile, task, variant, mixer), tunes=False)
    return lr


def tasks_grid(profile: str) -> list[dict]:
    """Every memory on every task at its rate, fresh seeds outermost."""
    specs = []
    for seed in SEEDS[profile]:
        for task, s in _cases(profile).items():
            for variant in (LAYER, *RIVALS):
                mixer, arguments = given(variant, s)
                lr = _rate(profile, task, variant, mixer)
                specs.append(_spec("holographic_tasks", profile, task, variant, mixer, arguments, seed, lr))
    return specs


def part(variant: str, s: dict, profile: str) -> tuple[str, dict, float]:
    """The mixer of a variant, its arguments at equal floats of state, and the weight of its loss."""
    mixer, own, weight = PARTS[variant]
    size = floats(s)
    if mixer == LAYER:
        arguments = {"dim": size // own.get("slots", 1)} | norm_ground()
    else:  # its unbinding is a map of D to D, which leaves little for an MLP
        arguments = {"dim": s["d_model"], "slots": size // s["d_model"]}
    arguments |= {"lag": _SETTINGS[profile]["lag"]} if variant.startswith("loss at random lags") else {}
    return mixer, arguments | own, weight


def parts_grid(profile: str) -> list[dict]:
    """What the layer is made of on recall and overwriting, the rest on recall; variants of one mixer share the
    rate that was chosen for it there."""
    specs, found = [], _cases(profile)
    for seed in SEEDS[profile]:
        for task, variants in PARTS_OF.items():
            for variant in variants:
                mixer, arguments, weight = part(variant, found[task], profile)
                lr = _rate(profile, task, LAYER if mixer == LAYER else DESCRIBED, mixer)
                specs.append(
                    _spec(
                        "holographic_ablation", profile, task, variant, mixer, arguments, seed, lr,
                        **({"auxiliary": weight} if weight else {}),
                    )
                )  # fmt: skip
    return specs


def examine(model: Backbone, _untrained: object, spec: dict) -> list[dict]:
    """Of the layer's recall, what storing its state in fewer bits costs."""
    if spec["task"] != "recall" or spec["mixer"] != LAYER:
        return []
    rows = []
    for entry in (e for e in spec["evaluate"] if e["split"] == "test"):
        task = task_from(entry)
        here = {**task.conditions(), "length": task.length, "split": "test"}
        rows += [here | row for row in portrait.read_as_stored(model, task, entry["examples"])]
    return rows


PROTOCOLS = {
    "holographic_capacity": Protocol(capacity.grid, side_by_side=capacity.measure_all),
    "holographic_cost": Protocol(cost.grid, side_by_side=cost.measure_all),
    "holographic_tuning": Protocol(tuning_grid, measure),
    "holographic_tasks": Protocol(tasks_grid, measure, examine=examine),
    "holographic_ablation": Protocol(parts_grid, measure),
    "holographic_portrait": Protocol(portrait.grid, measure, trace=portrait.trace),
    "holographic_text": Protocol(text.grid, text.measure, examine=text.examine),
    "holographic_sizes": Protocol(sizes.grid, side_by_side=sizes.measure_all),
}
