"""The grid of the explorers' models: one run each, of one layer, on recall, on sums modulo seven or on text."""

from typing import Any

from hmlcore.evaluation.metrics import Scores
from hmlcore.studies.explorers import ALPHABETS
from hmlcore.studies.kit.comparison import scored, task_spec, training_spec
from hmlcore.studies.kit.ground import ROTORS
from hmlcore.studies.kit.study import Protocol, Rows
from hmlcore.tasks import Task

_LETTERS = len(ALPHABETS["recall"])
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        steps={"recall": 3, "sums": 3, "text": 3}, batch_size=4, d_model=16, heads=2,
        parameters={"recall": 7000, "sums": 7000, "text": 10_000}, examples=4,
        corpus={"corpus": "stdlib", "length": 16},
    ),
    "laptop": dict(
        steps={"recall": 3000, "sums": 2400, "text": 2500}, batch_size=16, d_model=48, heads=4,
        parameters={"recall": 24_000, "sums": 24_000, "text": 40_000}, examples=1024,
        corpus={"corpus": "pg19", "books": 16, "length": 96},
    ),
    "full": dict(
        steps={"recall": 6000, "sums": 6000, "text": 20_000}, batch_size=64, d_model=48, heads=4,
        parameters={"recall": 24_000, "sums": 24_000, "text": 40_000}, examples=1024,
        corpus={"corpus": "pg19", "books": 16, "length": 96},
    ),
}  # fmt: skip
LR = {"recall": 5e-3, "sums": 5e-3, "text": 3e-3}
SOLVED = 0.998
COOL_DOWN = 300
_SLOW = {"expand_v": 1, "gate_init": "slow"}
# A pair is written where its value is read: those that see four tokens at once may learn to do it one later.
_PAIRS = {"conv_size": 2}
VARIANTS: dict[str, tuple[str, str, dict]] = {
    "hml": ("recall", "hml", {"dynamics": "oscillator", "theta": "few"} | ROTORS | _PAIRS),
    "hml-leapfrog": ("recall", "hml", {"dynamics": "leapfrog"}),
    "hml-sums": ("sums", "hml", {"dynamics": "oscillator", "theta": "few"} | ROTORS),
    "gated-deltanet": ("recall", "gated_deltanet", _SLOW | _PAIRS),
    "gru": ("recall", "gru", {}),
    "attention": ("recall", "attention", {}),
    "hml-text": ("text", "hml", {"dynamics": "oscillator", "theta": "few"}),
}
"""Model → its task, mixer, and what the mixer is given beside its heads."""


def tasks(task: str, profile: str) -> list[dict]:
    """What a model is trained on: what it is shown, at several lengths."""
    small = profile == "smoke"
    if task == "text":
        return [task_spec("bytes", **_SETTINGS[profile]["corpus"])]
    if task == "sums":
        lengths = [8] if small else [8, 16, 32]
        return [task_spec("word_problem", group="Z7", length=length) for length in lengths]
    sizes = [(2, 3)] if small else [(4, 6), (5, 8)]
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
        "d_model": s["d_model"], "layers": 1, "target_parameters": s["parameters"][task],
        "mixer_args": heads | given,
    }  # fmt: skip
    train = tasks(task, profile)
    # Text is never solved. The others train until they are right nearly always, which holds on another machine
    # too, whose rounding leads the weights elsewhere; one that stops before makes other mistakes there.
    end = {} if task == "text" else {"solved_at": SOLVED, "cool_down": COOL_DOWN}
    return training_spec(
        "explorer-models", profile, mixer, task=task, variant=variant, seed=0, lr=LR[task],
        steps=s["steps"][task], batch_size=s["batch_size"], model=model, train=train, optimizer="muon",
        evaluate=scored(train, "validation", s["examples"]) + scored(train, "test", s["examples"]), **end,
    )  # fmt: skip


def measure(task: Task, scores: Scores) -> Rows:
    """How often a model is right, and on text the bits that a byte takes."""
    rows = [{"metric": "accuracy", "value": scores.accuracy, "n": scores.tokens}]
    if task.name == "bytes":
        rows.append({"metric": "bits_per_byte", "value": scores.bits_per_token, "n": scores.tokens})
    return rows


PROTOCOLS = {"explorer-models": Protocol(grid, measure)}
