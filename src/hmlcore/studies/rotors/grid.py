"""The grids of counting: rotors and rates are chosen with two seeds, then others are tested."""

from pathlib import Path

from hmlcore.studies.kit.comparison import case_spec, measure, scored, task_spec
from hmlcore.studies.kit.ground import model_ground
from hmlcore.studies.kit.snapping import snapped_rows
from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.kit.tuning import Tuned, rates_due, rates_to_try, read_tuned
from hmlcore.studies.rotors.claims import BASELINES
from hmlcore.studies.rotors.memories import LATTICES, ROTORS, arguments
from hmlcore.studies.rotors.towers import towers_grid

GROUPS = {
    "parity": "Z2", "sums modulo 3": "Z3", "sums modulo 5": "Z5", "sums modulo 6": "Z6", "sums modulo 7": "Z7",
}  # fmt: skip
CHOSEN_ON = ("parity", "sums modulo 5")
ALSO_TRIED = ("Mamba-2 + rotation",)
"""Of a rival the published start: the better of two is tested, which has HML's scales."""
CHOSEN = "4 rotors from .01 to .5"
"""Whom `rotor_starts` chose: the least mean of bits_snapped over both tasks, at the best rate of each. A test
holds this to the store."""

# Symbols trained on; tested at, with examples; validation beyond the training for snapping, and for choosing.
_SETTINGS = {
    "smoke": dict(
        tuning=[0, 1], fresh=[2, 3], lrs=[1e-2], rivals=2, steps=3, batch_size=4, d_model=32, heads=4, layers=1,
        examples=4, train=[8], test={8: 4, 32: 4}, snap=16, choose=32,
        again=dict(fresh=[4, 5], steps=4, snap=32),
    ),
    "laptop": dict(
        tuning=[0, 1], fresh=list(range(10, 20)), rivals=5, lrs=[3e-3, 1e-2, 3e-2], steps=2400,
        batch_size=16, d_model=32, heads=4, layers=1, examples=256, solved_at=0.99, train=[8, 16, 32, 64],
        test={64: 256, 256: 64, 1024: 32, 4096: 16, 16_384: 8}, snap=256, choose=1024,
        again=dict(fresh=list(range(30, 40)), steps=4800, snap=1024),
    ),
    "full": dict(
        tuning=[0, 1], fresh=list(range(10, 20)), rivals=5, lrs=[1e-3, 3e-3, 1e-2], steps=20_000,
        batch_size=128, d_model=128, heads=4, layers=1, examples=1024, solved_at=0.99, train=[8, 16, 32, 64],
        test={64: 1024, 256: 256, 1024: 128, 4096: 64, 16_384: 32}, snap=256, choose=1024,
        again=dict(fresh=list(range(30, 40)), steps=40_000, snap=1024),
    ),
}  # fmt: skip


def _sums(task: str, length: int, s: dict) -> dict:
    """Beyond training only the end is scored: what comes before was trained on."""
    beyond = {"scored": min(32, length // 2)} if length > max(s["train"]) else {}
    return task_spec("word_problem", group=GROUPS[task], length=length, **beyond)


def _spec(experiment: str, profile: str, task: str, variant: str, seed: int, lr: float) -> dict:
    s = _SETTINGS[profile] | (_SETTINGS[profile]["again"] if experiment == "rotor_counting_again" else {})
    mixer, given = arguments(variant, s)
    own = {"train": [_sums(task, length, s) for length in s["train"]], "test": []}
    choice = experiment == "rotor_starts"
    if choice:
        beyond = [_sums(task, s["choose"], s) | {"examples": max(1, s["examples"] // 8)}]
    else:
        own["test"] = [_sums(task, length, s) | {"examples": n} for length, n in s["test"].items()]
        beyond = []
    spec = case_spec(
        experiment, profile, task, s | own, mixer, seed, lr, variant=variant, mixer_args=given,
        optimizer="muon", snapping={"each": "rotor", "lattices": list(LATTICES), **_snapped_on(task, s)},
    )  # fmt: skip
    spec["evaluate"] = scored(beyond, "validation", s["examples"]) + spec["evaluate"]
    spec["model"] |= model_ground()
    return spec


def _snapped_on(task: str, s: dict) -> dict:
    (entry,) = scored([_sums(task, s["snap"], s)], "validation", s["examples"] // 8 or 1)
    return {"on": entry}


def starts_grid(profile: str) -> list[dict]:
    """The runs among which rotors and rates are chosen: nothing here is tested."""
    s, stored = _SETTINGS[profile], _stored(profile)
    return [
        _spec("rotor_starts", profile, task, variant, seed, lr)
        for seed in s["tuning"]
        for task in CHOSEN_ON
        for variant in (*ROTORS, *BASELINES, *ALSO_TRIED)
        for lr in rates_to_try(s["lrs"], _tuned(stored, task, variant))
    ]


def counting_grid(profile: str) -> list[dict]:
    """Fresh seeds of what was chosen, and of the rivals, each at its rate; seeds outermost."""
    s, stored = _SETTINGS[profile], _stored(profile)

    def rates(task: str, variant: str) -> list[float]:
        found = _tuned(stored, _rated(task), variant)
        return rates_due(s["lrs"], found, tunes=False)

    return [
        _spec("rotor_counting", profile, task, variant, seed, lr)
        for i, seed in enumerate(s["fresh"])
        for task in GROUPS
        for variant in (CHOSEN, *BASELINES)
        if variant == CHOSEN or i < s["rivals"]
        for lr in rates(task, variant)
    ]


def again_grid(profile: str) -> list[dict]:
    """The chosen rotors alone, on other fresh seeds: trained longer at most, and snapped by longer sums."""
    s, stored = _SETTINGS[profile], _stored(profile)
    return [
        _spec("rotor_counting_again", profile, task, CHOSEN, seed, lr)
        for seed in s["again"]["fresh"]
        for task in GROUPS
        for lr in rates_due(s["lrs"], _tuned(stored, _rated(task), CHOSEN), tunes=False)
    ]


def _rated(task: str) -> str:
    """The task whose rates it takes."""
    return task if task in CHOSEN_ON else "sums modulo 5"


def _stored(profile: str) -> dict:
    return read_tuned(Path(__file__).parent).get(profile, {}).get("rotor_starts", {})


def _tuned(stored: dict, task: str, variant: str) -> Tuned | None:
    mixer, _ = arguments(variant, _SETTINGS["smoke"])
    return stored.get(f"{task}, {variant}", {}).get(mixer)


def examine(model, _untrained, spec: dict) -> list[dict]:
    """Snap the rotors where validation says so, and score everything again; without rotors nothing changes."""
    return snapped_rows(model, spec)


PROTOCOLS = {
    "rotor_starts": Protocol(starts_grid, measure, examine=examine),
    "rotor_counting": Protocol(counting_grid, measure, examine=examine),
    "rotor_counting_again": Protocol(again_grid, measure, examine=examine),
    "rotor_towers": Protocol(towers_grid, measure, examine=examine),
}
