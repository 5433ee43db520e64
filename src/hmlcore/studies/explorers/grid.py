"""The grid of the explorers' models: one run each, of one layer, on recall or on sums modulo seven."""

from hmlcore.studies.explorers import ALPHABETS
from hmlcore.studies.kit.comparison import measure, scored, task_spec, training_spec
from hmlcore.studies.kit.ground import ROTORS
from hmlcore.studies.kit.study import Protocol

_LETTERS = len(ALPHABETS["recall"])
_SETTINGS = {
    "smoke": dict(
        steps={"recall": 3, "sums": 3}, batch_size=4, d_model=16, heads=2, parameters=7000, examples=4,
    ),
    "laptop": dict(
        steps={"recall": 1600, "sums": 2400}, batch_size=16, d_model=32, heads=4, parameters=24_000,
        examples=256,
    ),
    "full": dict(
        steps={"recall": 6000, "sums": 6000}, batch_size=64, d_model=32, heads=4, parameters=24_000,
        examples=1024,
    ),
}  # fmt: skip
LR = 1e-2
SOLVED = 0.98
_SLOW = {"expand_v": 1, "gate_init": "slow"}
VARIANTS: dict[str, tuple[str, str, dict]] = {
    "hml": ("recall", "hml", {"dynamics": "oscillator", "theta": "few"} | ROTORS),
    "hml-leapfrog": ("recall", "hml", {"dynamics": "leapfrog"}),
    "hml-sums": ("sums", "hml", {"dynamics": "oscillator", "theta": "few"} | ROTORS),
    "gated-deltanet": ("recall", "gated_deltanet", _SLOW),
    "gru": ("recall", "gru", {}),
    "attention": ("recall", "attention", {}),
}
"""Model → its task, mixer, and what the mixer is given beside its heads."""


def tasks(task: str, profile: str) -> list[dict]:
    """What a model is trained on: what it is shown, at several lengths."""
    small = profile == "smoke"
    if task == "sums":
        lengths = [8] if small else [8, 16, 32]
        return [task_spec("word_problem", group="Z7", length=length) for length in lengths]
    sizes = [(2, 3)] if small else [(4, 6), (6, 12)]
    written = [task_spec("overwrite", keys=keys, writes=writes, vocab=_LETTERS) for keys, writes in sizes]
    spaced = {"length": 24, "pairs": 3} if small else {"length": 40, "pairs": 6}
    return [*written, task_spec("mqar", vocab=_LETTERS, random_non_queries=False, power_a=1.0, **spaced)]


def grid(profile: str) -> list[dict]:
    """One run a model."""
    s = _SETTINGS[profile]
    return [_spec(profile, variant, s) for variant in VARIANTS]


def _spec(profile: str, variant: str, s: dict) -> dict:
    task, mixer, given = VARIANTS[variant]
    heads = {} if mixer == "gru" else {"num_heads": s["heads"]}
    model = {
        "d_model": s["d_model"], "layers": 1, "target_parameters": s["parameters"],
        "mixer_args": heads | given,
    }  # fmt: skip
    train = tasks(task, profile)
    return training_spec(
        "explorer-models", profile, mixer, task=task, variant=variant, seed=0, lr=LR, steps=s["steps"][task],
        batch_size=s["batch_size"], model=model, train=train, optimizer="muon", solved_at=SOLVED,
        evaluate=scored(train, "validation", s["examples"]) + scored(train, "test", s["examples"]),
    )  # fmt: skip


PROTOCOLS = {"explorer-models": Protocol(grid, measure)}
