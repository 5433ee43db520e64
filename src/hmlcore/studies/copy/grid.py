"""Copy: how long, and how much, can each memory hold a message it was never trained to hold so long?

Claim under test: what limits recall is the load (payload), not the lag (delay), for a memory whose
state is conserved. It is refuted if accuracy at a fixed payload falls with delay as fast as the
recurrent reference's does.

Trained on short delays and two payloads, tested on longer ones. Every mixer has the same parameters,
the same short convolution and the same two learning rates; the rate is chosen on validation.
"""

from typing import Any

from hmlcore.evaluation.metrics import Scores
from hmlcore.studies.kit.comparison import PROPOSED, scored, task_from, task_spec, training_spec
from hmlcore.studies.kit.study import COMPARED, Protocol
from hmlcore.tasks import Task

_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        seeds=3, lrs=[3e-3], steps=30, batch_size=16, d_model=32, heads=2, cue="blank",
        train=dict(payload=[4], delay=[0, 8]), test=dict(payload=[4, 8], delay=[8, 32]), examples=32,
    ),
    "laptop": dict(
        seeds=3, lrs=[1e-3, 3e-3], steps=1200, batch_size=32, d_model=64, heads=4, cue="blank",
        train=dict(payload=[4, 8], delay=[0, 8, 16, 32]),
        test=dict(payload=[4, 8, 12, 16], delay=[8, 32, 128, 512]), examples=256,
    ),
    "full": dict(
        seeds=5, lrs=[3e-4, 1e-3, 3e-3], steps=20_000, batch_size=128, d_model=128, heads=4, cue="blank",
        train=dict(payload=[8, 16, 32], delay=[0, 16, 64, 128]),
        test=dict(payload=[8, 16, 32, 64], delay=[32, 128, 512, 2048, 8192]), examples=1024,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile: seeds outermost, so that an early stop leaves complete comparisons."""
    s = _SETTINGS[profile]

    def tasks(part: dict) -> list[dict]:
        return [
            task_spec("copy", payload=p, delay=d, cue=s["cue"]) for d in part["delay"] for p in part["payload"]
        ]

    learned = [task_from(t) for t in tasks(s["train"])]
    vocabulary, length = learned[0].vocab_size, max(t.length for t in learned)
    return [
        training_spec(
            "copy", profile, mixer, seed=seed, lr=lr, steps=s["steps"], batch_size=s["batch_size"],
            model=PROPOSED.model(mixer, vocabulary, length, {**s, "layers": 2}), train=tasks(s["train"]),
            evaluate=scored(tasks(s["train"]), "validation", s["examples"])
            + scored(tasks(s["test"]), "test", s["examples"]),
        )
        for seed in range(s["seeds"]) for lr in s["lrs"] for mixer in COMPARED
    ]  # fmt: skip


def measure(task: Task, scores: Scores) -> list[dict]:
    """Token accuracy and exact-message accuracy."""
    return [
        {"metric": "accuracy", "value": scores.accuracy, "n": scores.tokens},
        {"metric": "exact", "value": scores.exact_accuracy, "n": scores.sequences},
    ]


PROTOCOLS = {"copy": Protocol(grid, measure)}
