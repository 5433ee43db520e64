"""Recall: multi-query associative recall (MQAR) against the bytes of state a memory may use.

Claim under test: at equal parameters and equal training a fixed phase-space state recalls as many
pairs as attention's growing cache does, for as long as the pairs fit the state; the frontier of
accuracy over state bytes decides. It is refuted where a smaller or equal state recalls more.

Zoology's definition of the task (Arora et al., arXiv 2312.04927), with a smaller vocabulary below the
`full` profile so that two CPU cores can learn it; the MLP stays (Zoology leaves it out), because its
width is what equalises parameters. The learning rate is chosen on validation, per mixer and width.
"""

from hmlcore.evaluation.metrics import Scores
from hmlcore.experiments.base import (
    COMPARED,
    Experiment,
    make_spec,
    mixer_arguments,
    reference_parameters,
    task_spec,
)  # fmt: skip
from hmlcore.tasks import Task

_SETTINGS = {
    "smoke": dict(
        seeds=3, lrs=[3e-3], steps=30, batch_size=16, vocab=128, widths=[(16, 2), (32, 2)],
        train=[(32, 2), (32, 4)], test=[(32, 2), (32, 4), (64, 8)], examples=32,
    ),
    "laptop": dict(
        seeds=3, lrs=[2e-3, 5e-3], steps=2000, batch_size=32, vocab=256, widths=[(32, 2), (64, 4)],
        train=[(64, 4), (64, 8), (64, 16)],
        test=[(64, 4), (64, 8), (64, 16), (128, 32)], examples=256,
    ),
    "full": dict(
        seeds=5, lrs=[3e-4, 1e-3, 3e-3], steps=12_500, batch_size=256, vocab=8192,
        widths=[(64, 2), (128, 4), (256, 4)],
        train=[(64, 4), (128, 8), (256, 16), (256, 32), (256, 64)],
        test=[(64, 4), (64, 8), (64, 16), (128, 32), (256, 64), (512, 128), (1024, 256)], examples=1024,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile: seeds outermost, so that an early stop leaves complete comparisons."""
    s = _SETTINGS[profile]

    def tasks(part: list[tuple[int, int]]) -> list[dict]:
        return [task_spec("mqar", length=t, pairs=n, vocab=s["vocab"]) for t, n in part]

    def scored(part: list[tuple[int, int]], split: str) -> list[dict]:
        size = {"examples": s["examples"], "batch_size": min(32, s["examples"])}
        return [{**t, "split": split, **size} for t in tasks(part)]

    longest = max(length for length, _ in s["train"])
    return [
        make_spec(
            "recall", profile, mixer, seed=seed, lr=lr, steps=s["steps"], batch_size=s["batch_size"],
            warmup=s["steps"] // 10, weight_decay=0.1, precision="bf16" if profile == "full" else "fp32",
            model={
                "d_model": width, "layers": 2,
                "target_parameters": reference_parameters(s["vocab"], width, 2, {"num_heads": heads}),
                "mixer_args": mixer_arguments(mixer, width, heads, longest),
            },
            train=tasks(s["train"]),
            evaluate=scored(s["train"], "validation") + scored(s["test"], "test"),
        )
        for seed in range(s["seeds"]) for width, heads in s["widths"] for lr in s["lrs"] for mixer in COMPARED
    ]  # fmt: skip


def measure(task: Task, scores: Scores) -> list[dict]:
    """Accuracy over the queries."""
    return [{"metric": "accuracy", "value": scores.accuracy, "n": scores.tokens}]


RECALL = Experiment("recall", "How many pairs can each memory recall, per byte of state?", grid, measure)
