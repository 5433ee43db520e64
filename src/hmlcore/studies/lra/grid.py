"""The grids of Long Range Arena's ListOps and Text: causal models, and those that read both ways."""

from pathlib import Path

from hmlcore.evaluation.labels import LabelScores
from hmlcore.evaluation.states import state_rows
from hmlcore.models import Backbone, Classifier
from hmlcore.studies.kit.comparison import (
    DEFAULT,
    PROPOSED,
    is_due,
    read_rates,
    scored,
    task_spec,
    training_spec,
)
from hmlcore.studies.kit.study import ALL_MIXERS, Protocol
from hmlcore.tasks import LabelledTask, Task
from hmlcore.tasks.listops_trees import NAMES, VOCABULARY

_LISTOPS = {
    "smoke": dict(
        seeds=2, lrs={"causal": [3e-3], "bidirectional": [3e-3]}, steps=6, batch_size=8, d_model=32, layers=2,
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
_TEXT = {
    "smoke": dict(
        seeds=2, lrs={"causal": [3e-3], "bidirectional": [3e-3]}, steps=4, batch_size=4, d_model=16, layers=2,
        heads=2, train=32, test=[16, 32, 64], knobs={"corpus": "made_up", "held_out": 40}, scored=16, batch=16,
    ),
    "laptop": dict(
        seeds=3, lrs={"causal": [3e-3, 1e-2], "bidirectional": [3e-3]}, steps=120, batch_size=16, d_model=32,
        layers=2, heads=4, train=256, test=[128, 256, 512], knobs={"held_out": 2_500}, scored=400, batch=50,
    ),
    "full": dict(
        seeds=3, lrs={"causal": [1e-3, 3e-3], "bidirectional": [1e-3, 3e-3]}, steps=25_000, batch_size=50,
        d_model=128, layers=4, heads=4, train=4096, test=[256, 512, 1024, 2048, 4096],
        knobs={"held_out": 2_500}, scored=2_500, batch=50,
    ),
}  # fmt: skip


def listops_grid(profile: str) -> list[dict]:
    """All runs of the profile: causal first, and seeds before rates."""
    s = _LISTOPS[profile]

    def tasks(lengths: list[int]) -> list[dict]:
        return [task_spec("listops", max_length=length, **s["knobs"]) for length in lengths]

    specs = []
    for direction, lrs in s["lrs"].items():
        for seed in range(s["seeds"]):
            for lr in lrs:
                for mixer in ALL_MIXERS:
                    spec = training_spec(
                        "lra_listops", profile, mixer, direction=direction, seed=seed, lr=lr, steps=s["steps"],
                        batch_size=s["batch_size"], model=PROPOSED.model(mixer, VOCABULARY, max(s["train"]), s),
                        train=tasks(s["train"]),
                        evaluate=scored(tasks(s["train"]), "validation", s["scored"], s["batch"])
                        + scored(tasks(s["test"]), "test", s["scored"], s["batch"]),
                    )  # fmt: skip
                    if direction == "causal" and seed == 0:  # drawn no more; part of what stored runs are
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
    assert isinstance(task, LabelledTask)
    inputs, lengths, _ = task.batch("test", 0, 16, seed=0)
    lengths = lengths.clamp(max=64)
    row = int(lengths.argmax())
    tokens = inputs[row, : lengths[row]]
    return state_rows(model, tokens, [NAMES[token] for token in tokens.tolist()])


def text_grid(profile: str) -> list[dict]:
    """All runs of the profile: causal first, and seeds before rates."""
    s, rates = _TEXT[profile], read_rates(Path(__file__).parent)
    return [
        _text_spec(profile, s, direction, mixer, seed, lr)
        for direction, lrs in s["lrs"].items()
        for seed in range(s["seeds"])
        for lr in lrs
        for mixer in ALL_MIXERS
        if is_due(rates, profile, "lra_text", direction, mixer, lrs, seed, lr)
    ]


def _text_spec(profile: str, s: dict, direction: str, mixer: str, seed: int, lr: float) -> dict:
    def task(length: int) -> dict:
        return task_spec("imdb", max_length=length, **s["knobs"])

    # `full` is judged by all reviews, which are 25,000; elsewhere by as many as choose the rate.
    judged = 25_000 if profile == "full" else s["scored"]
    return training_spec(
        "lra_text", profile, mixer, direction=direction, seed=seed, lr=lr, steps=s["steps"],
        batch_size=s["batch_size"], model=DEFAULT.model(mixer, 256, s["train"], s), train=[task(s["train"])],
        evaluate=scored([task(s["train"])], "validation", s["scored"], s["batch"])
        + scored([task(length) for length in s["test"]], "test", judged, s["batch"]),
    )  # fmt: skip


PROTOCOLS = {
    "lra_listops": Protocol(listops_grid, measure, trace),
    "lra_text": Protocol(text_grid, measure),
}
