"""The grid of towers: words of groups that do not commute; one seed chooses rates, and others are judged."""

from pathlib import Path

from hmlcore.studies.kit.comparison import case_spec, scored, task_spec
from hmlcore.studies.kit.ground import model_ground
from hmlcore.studies.kit.tuning import rates_due, read_tuned
from hmlcore.studies.rotors.claims import BESIDE_TOWERS, FLAT, TOWER, TUNING
from hmlcore.studies.rotors.memories import LATTICES, arguments

GROUPS = ("S3", "D4")
_ROTORS = "8 rotors from .01 to .5"
CANDIDATES = {TOWER: (_ROTORS, 2), FLAT: (_ROTORS, 1)} | dict(
    zip(BESIDE_TOWERS, (("delta", 2), ("gated DeltaProduct", 2), ("GRU", 1)), strict=True)
)
"""Name → memory, as `memories` has it, and its layers; where there is one, its MLP is as much wider."""
COARSE = (12, *LATTICES)
"""Turns of an upper layer are learned less exactly than those of sums: they can be rounded more."""

# As in `grid`: symbols trained on; tested at, with examples; validation beyond, for snapping and for choosing.
_SETTINGS = {
    "smoke": dict(
        fresh=[10], lrs=[1e-2], steps=3, batch_size=4, d_model=32, heads=4, layers=2, examples=4,
        train=[8], test={8: 4, 32: 4}, snap=16, choose=32,
    ),
    "laptop": dict(
        fresh=[10, 11, 12], lrs=[1e-3, 3e-3, 1e-2], steps=4800, batch_size=16, d_model=32, heads=4, layers=2,
        examples=256, solved_at=0.99, train=[4, 8, 16, 32], test={32: 256, 128: 64, 512: 32, 2048: 16},
        snap=128, choose=512,
    ),
    "full": dict(
        fresh=[10, 11, 12], lrs=[1e-3, 3e-3, 1e-2], steps=20_000, batch_size=128, d_model=128, heads=4,
        layers=2, examples=1024, solved_at=0.99, train=[4, 8, 16, 32],
        test={32: 1024, 128: 256, 512: 128, 2048: 64}, snap=128, choose=512,
    ),
}  # fmt: skip


def towers_grid(profile: str) -> list[dict]:
    """Every rate with the seed of tuning; fresh seeds at the one that it chose. Seeds outermost.

    Before tuning, fresh seeds are at the middle one.
    """
    s = _SETTINGS[profile]
    stored = read_tuned(Path(__file__).parent).get(profile, {}).get("rotor_towers", {})

    def chosen(group: str, variant: str) -> list[float]:
        found = stored.get(f"{group}, {variant}", {}).get(_mixer(variant))
        return rates_due(s["lrs"], found, tunes=False)

    return [
        _spec(profile, group, variant, seed, lr)
        for seed in (TUNING, *s["fresh"])
        for group in GROUPS
        for variant in CANDIDATES
        for lr in (s["lrs"] if seed == TUNING else chosen(group, variant))
    ]


def _mixer(variant: str) -> str:
    return arguments(CANDIDATES[variant][0], _SETTINGS["smoke"])[0]


def _spec(profile: str, group: str, variant: str, seed: int, lr: float) -> dict:
    s = _SETTINGS[profile]
    memory, layers = CANDIDATES[variant]
    mixer, given = arguments(memory, s)
    few = max(1, s["examples"] // 8)
    own = {
        "train": [_words(group, length, s) for length in s["train"]],
        "test": [_words(group, length, s) | {"examples": n} for length, n in s["test"].items()],
    }
    (snap, choose) = scored([_words(group, s[end], s) for end in ("snap", "choose")], "validation", few)
    spec = case_spec(
        "rotor_towers", profile, group, s | own, mixer, seed, lr, variant=variant, mixer_args=given,
        optimizer="muon", snapping={"each": "rotor", "lattices": list(COARSE), "on": snap},
    )  # fmt: skip
    spec["evaluate"] = [choose, *spec["evaluate"]]
    # All have the parameters of attention in as many layers as the deepest have.
    spec["model"] |= model_ground() | {"layers": layers}
    return spec


def _words(group: str, length: int, s: dict) -> dict:
    """Beyond training only the end is scored."""
    beyond = {"scored": min(32, length // 2)} if length > max(s["train"]) else {}
    return task_spec("word_problem", group=group, length=length, **beyond)
