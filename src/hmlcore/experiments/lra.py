"""LRA ListOps: which memory can follow a nested expression, and at what length does it lose the thread?

Claims under test, for equal parameters and equal tuning: HML answers as well as the best of the
baselines at the lengths of training; every bounded memory stays above the most frequent answer beyond
them. Both can be refuted; `evaluation.claims` has the rules.

The laptop trains on expressions shorter than 32, 64 and 128 tokens in turn and tests up to 512; `full` is
Long Range Arena's own setting. Causal models and those that read both ways are different questions and
never mixed; published S4 and S5 numbers are of the second kind. The second has one learning rate.
"""

from hmlcore.evaluation.labels import LabelScores
from hmlcore.evaluation.states import state_rows
from hmlcore.experiments.base import (
    ALL_MIXERS,
    Experiment,
    make_spec,
    mixer_arguments,
    reference_parameters,
    task_spec,
)  # fmt: skip
from hmlcore.models import Backbone, Classifier
from hmlcore.tasks import Task
from hmlcore.tasks.listops_trees import NAMES, VOCABULARY

_SETTINGS = {
    "smoke": dict(
        seeds=3, lrs={"causal": [3e-3], "bidirectional": [3e-3]}, steps=6, batch_size=8, d_model=32, layers=2,
        heads=2, train=[16, 32], test=[16, 32, 64], knobs={"training_examples": 512, "held_out": 64},
        scored=64, batch=32,
    ),
    "laptop": dict(
        seeds=3, lrs={"causal": [1e-3, 3e-3], "bidirectional": [3e-3]}, steps=600, batch_size=32, d_model=64,
        layers=2, heads=4, train=[32, 64, 128], test=[32, 64, 128, 256, 512],
        knobs={"training_examples": 96_000, "held_out": 1_000}, scored=1_000, batch=50,
    ),
    "full": dict(
        seeds=3, lrs={"causal": [1e-3, 3e-3], "bidirectional": [1e-3, 3e-3]}, steps=60_000, batch_size=32,
        d_model=128, layers=4, heads=4, train=[2000], test=[250, 500, 1000, 2000], knobs={}, scored=2_000,
        batch=50,
    ),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """All runs of the profile: causal first, and seeds before rates."""
    s = _SETTINGS[profile]

    def tasks(lengths: list[int]) -> list[dict]:
        return [task_spec("listops", max_length=length, **s["knobs"]) for length in lengths]

    def scored(lengths: list[int], split: str) -> list[dict]:
        size = {"split": split, "examples": s["scored"], "batch_size": s["batch"]}
        return [task | size for task in tasks(lengths)]

    target = reference_parameters(VOCABULARY, s["d_model"], s["layers"], {"num_heads": s["heads"]})
    specs = []
    for direction, lrs in s["lrs"].items():
        for seed in range(s["seeds"]):
            for lr in lrs:
                for mixer in ALL_MIXERS:
                    arguments = mixer_arguments(mixer, s["d_model"], s["heads"], max(s["train"]))
                    spec = make_spec(
                        "lra_listops", profile, mixer, direction=direction, seed=seed, lr=lr, steps=s["steps"],
                        batch_size=s["batch_size"], warmup=max(1, s["steps"] // 10), weight_decay=0.1,
                        precision="bf16" if profile == "full" else "fp32",
                        model={
                            "d_model": s["d_model"], "layers": s["layers"], "target_parameters": target,
                            "mixer_args": arguments,
                        },
                        train=tasks(s["train"]),
                        evaluate=scored(s["train"], "validation") + scored(s["test"], "test"),
                    )  # fmt: skip
                    if direction == "causal" and seed == 0:
                        spec["trace"] = tasks([64 if 64 in s["train"] else max(s["train"])])[0]
                    specs.append(spec)
    return specs


def measure(task: Task, scores: LabelScores) -> list[dict]:
    """Accuracy, macro-F1, and what the most frequent answer would score."""
    return [
        {"metric": metric, "value": getattr(scores, metric), "n": scores.sequences}
        for metric in ("accuracy", "macro_f1", "majority")
    ]


def trace(model: Backbone | Classifier, task: Task) -> list[dict]:
    """The last layer's state while it reads the longest of the first test expressions, at most 64 tokens."""
    inputs, lengths, _ = task.batch("test", 0, 16, seed=0)
    lengths = lengths.clamp(max=64)
    row = int(lengths.argmax())
    tokens = inputs[row, : lengths[row]]
    return state_rows(model, tokens, [NAMES[token] for token in tokens.tolist()])


LRA_LISTOPS = Experiment(
    "lra_listops", "Which memory follows nested operations, and how far?", grid, measure, trace, ALL_MIXERS
)
