"""The grid of copy: short delays and two payloads, rates tried with the first seed; and how it is scored."""

from pathlib import Path
from typing import Any

from hmlcore.evaluation.metrics import Scores
from hmlcore.studies.kit.comparison import TODAY, scored, task_from, task_spec, training_spec
from hmlcore.studies.kit.study import COMPARED, Protocol
from hmlcore.studies.kit.tuning import rates_due, read_tuned
from hmlcore.tasks import Task

_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        seeds=3, lrs=[1e-2], steps=30, batch_size=16, d_model=32, heads=2, cue="blank",
        train=dict(payload=[4], delay=[0, 8]), test=dict(payload=[4, 8], delay=[8, 32]), examples=32,
    ),
    "laptop": dict(
        seeds=5, lrs=[3e-3, 1e-2, 3e-2], steps=1200, batch_size=32, d_model=64, heads=4, cue="blank",
        train=dict(payload=[4, 8], delay=[0, 8, 16, 32]),
        test=dict(payload=[4, 8, 12, 16], delay=[8, 32, 128, 512]), examples=256,
    ),
    "full": dict(
        seeds=5, lrs=[1e-3, 3e-3, 1e-2], steps=20_000, batch_size=128, d_model=128, heads=4, cue="blank",
        train=dict(payload=[8, 16, 32], delay=[0, 16, 64, 128]),
        test=dict(payload=[8, 16, 32, 64], delay=[32, 128, 512, 2048, 8192]), examples=1024,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile: seeds outermost, so that an early stop leaves complete comparisons."""
    s = _SETTINGS[profile]
    stored = read_tuned(Path(__file__).parent).get(profile, {}).get("copy", {}).get("", {})

    def tasks(part: dict) -> list[dict]:
        return [
            task_spec("copy", payload=p, delay=d, cue=s["cue"]) for d in part["delay"] for p in part["payload"]
        ]

    learned = [task_from(t) for t in tasks(s["train"])]
    vocabulary, length = learned[0].vocab_size, max(t.length for t in learned)
    return [
        training_spec(
            "copy", profile, mixer, seed=seed, lr=lr, steps=s["steps"], batch_size=s["batch_size"],
            model=TODAY.model(mixer, vocabulary, length, {**s, "layers": 2}),
            optimizer="muon", solved_at=0.99, train=tasks(s["train"]),
            evaluate=scored(tasks(s["train"]), "validation", s["examples"])
            + scored(tasks(s["test"]), "test", s["examples"]),
        )
        for seed in range(s["seeds"]) for mixer in COMPARED
        for lr in rates_due(s["lrs"], stored.get(mixer), tunes=profile != "laptop" or seed == 0)
    ]  # fmt: skip


def measure(task: Task, scores: Scores) -> list[dict]:
    """Token accuracy and exact-message accuracy."""
    return [
        {"metric": "accuracy", "value": scores.accuracy, "n": scores.tokens},
        {"metric": "exact", "value": scores.exact_accuracy, "n": scores.sequences},
    ]


PROTOCOLS = {"copy": Protocol(grid, measure)}
