"""The grid of the bake-off: nine variants of the family on five tasks."""

from pathlib import Path
from typing import Any

from hmlcore.evaluation.metrics import Scores
from hmlcore.studies.kit.comparison import (
    is_due,
    parameters_of,
    read_rates,
    scored,
    task_from,
    task_spec,
    training_spec,
)
from hmlcore.studies.kit.study import Protocol
from hmlcore.tasks import Task

# Mixer arguments, with heads in units of the smaller number (that of two rows).
VARIANTS: dict[str, dict] = {
    "delta": {"dynamics": "delta"},
    "delta + rotation": {"dynamics": "delta", "rotation_heads": 1},
    "leapfrog": {"dynamics": "leapfrog"},
    "leapfrog + rotation": {"dynamics": "leapfrog", "rotation_heads": 1},
    "euler": {"dynamics": "euler"},
    "oscillator (θ of head)": {"dynamics": "oscillator", "theta": "head"},
    "oscillator (θ in few heads)": {"dynamics": "oscillator", "theta": "few"},
    "oscillator (θ of token)": {"dynamics": "oscillator", "theta": "token"},
    "quad": {"dynamics": "quad"},
}
ONE_ROW = ("delta", "oscillator")


def variant_arguments(variant: str, heads: int, head_dim: int) -> dict:
    """Arguments of HML for `variant`: `heads` heads of two rows, or twice as many of one row, and a quarter of
    them turning where some do."""
    arguments = dict(VARIANTS[variant])
    double = 2 if arguments["dynamics"] in ONE_ROW else 1
    if "rotation_heads" in arguments:
        arguments["rotation_heads"] = max(1, double * heads // 4)
    return {"num_heads": double * heads, "head_dim": head_dim, **arguments}


def _mqar(cases, vocab=66):
    return [task_spec("mqar", length=4 * n, pairs=n, vocab=vocab) for n in cases]


def _overwrite(cases, vocab=34):
    return [task_spec("overwrite", keys=k, writes=w, vocab=vocab) for k, w in cases]


def _needle(lengths, needles=2):
    return [task_spec("needle", length=n, needles=needles) for n in lengths]


def _sums(lengths, scored=0):
    last = {"scored": scored} if scored else {}
    return [task_spec("word_problem", group="Z3", length=n, **last) for n in lengths]


def _text(lengths):
    return [task_spec("bytes", corpus="stdlib", length=n) for n in lengths]


# name → what is trained, what is tested, and sizes of its own.
_TASKS: dict[str, dict[str, dict[str, Any]]] = {
    "smoke": {
        "recall": dict(train=_mqar([2, 4]), test=_mqar([4])),
        "overwrite": dict(train=_overwrite([(2, 4)]), test=_overwrite([(2, 4)])),
        "needle": dict(train=_needle([16]), test=_needle([16, 64])),
        "modular sums": dict(train=_sums([8]), test=_sums([8]) + _sums([32], 8)),
        "text": dict(train=_text([32]), test=_text([32, 64]), layers=2),
    },
    "laptop": {
        "recall": dict(train=_mqar([4, 8, 16]), test=_mqar([16]), steps=1200),
        "overwrite": dict(
            train=_overwrite([(2, 8), (4, 12), (8, 24)]), test=_overwrite([(8, 24)]), steps=1200
        ),
        "needle": dict(train=_needle([32, 64]), test=_needle([64, 512]), steps=1000),
        "modular sums": dict(train=_sums([4, 8, 16, 32]), test=_sums([32]) + _sums([256], 32), steps=2000),
        "text": dict(
            train=_text([256]), test=_text([256, 1024]), steps=300, batch_size=8, layers=2, d_model=64,
            head_dim=16, examples=128,
        ),
    },
    "full": {
        "recall": dict(train=_mqar([16, 32, 64], 514), test=_mqar([64, 128], 514), steps=20_000),
        "overwrite": dict(
            train=_overwrite([(8, 32), (16, 64), (32, 128)], 130),
            test=_overwrite([(32, 128), (64, 256)], 130), steps=20_000,
        ),
        "needle": dict(train=_needle([256, 512], 4), test=_needle([512, 4096, 16_384], 4), steps=20_000),
        "modular sums": dict(train=_sums([8, 16, 32, 64]), test=_sums([64]) + _sums([1024], 64), steps=20_000),
        "text": dict(train=_text([1024]), test=_text([1024, 8192]), steps=10_000, layers=6, d_model=256),
    },
}  # fmt: skip
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        seeds=2, lrs=[1e-2], steps=4, batch_size=4, d_model=16, heads=2, head_dim=4, layers=1, examples=4
    ),
    "laptop": dict(
        seeds=3, lrs=[3e-3, 1e-2], batch_size=16, d_model=32, heads=4, head_dim=8, layers=1, examples=512
    ),
    "full": dict(
        seeds=5, lrs=[1e-3, 3e-3, 1e-2], batch_size=64, d_model=128, heads=4, head_dim=32, layers=2,
        examples=1024,
    ),
}  # fmt: skip
# At `laptop` every rate is tried with seed 0, and the other seeds run at the better one only: half the time,
# and still the same tuning for all.
_RATES = read_rates(Path(__file__).parent)


def grid(profile: str) -> list[dict]:
    """All runs of the profile: seeds outermost, so that an early stop leaves complete comparisons."""
    base = _SETTINGS[profile]
    settings = {name: base | own for name, own in _TASKS[profile].items()}
    return [
        _spec(profile, name, s, variant, seed, lr)
        for seed in range(base["seeds"])
        for name, s in settings.items()
        for lr in base["lrs"]
        for variant in VARIANTS
        if is_due(_RATES, profile, "bakeoff", f"{name}, {variant}", "hml", base["lrs"], seed, lr)
    ]


def _spec(profile: str, name: str, s: dict, variant: str, seed: int, lr: float) -> dict:
    return training_spec(
        "bakeoff", profile, "hml", variant=variant, task=name, seed=seed, lr=lr, steps=s["steps"],
        batch_size=s["batch_size"],
        model={
            "d_model": s["d_model"], "layers": s["layers"], "target_parameters": _parameters(s),
            "mixer_args": variant_arguments(variant, s["heads"], s["head_dim"]),
        },
        train=s["train"],
        evaluate=scored(s["train"], "validation", s["examples"]) + scored(s["test"], "test", s["examples"]),
    )  # fmt: skip


def _parameters(s: dict) -> int:
    """The budget all variants share: that of "delta" with an MLP of twice the width."""
    arguments = variant_arguments("delta", s["heads"], s["head_dim"])
    vocabulary = task_from(s["train"][0]).vocab_size
    return parameters_of(vocabulary, "hml", s["d_model"], s["layers"], 2 * s["d_model"], arguments)


def measure(task: Task, scores: Scores) -> list[dict]:
    """Accuracy (of text, bits per byte), and the cross-entropy that chooses learning rates."""
    nats = {"metric": "bits_per_token", "value": scores.bits_per_token, "n": scores.tokens}
    metric = "bits_per_byte" if task.name == "bytes" else "accuracy"
    value = scores.bits_per_token if task.name == "bytes" else scores.accuracy
    return [nats, {"metric": metric, "value": value, "n": scores.tokens}]


PROTOCOLS = {"bakeoff": Protocol(grid, measure)}
