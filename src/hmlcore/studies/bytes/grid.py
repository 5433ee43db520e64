"""Bytes: how well does each memory model real text, at the context it was trained on and beyond it?

Claim under test: at equal parameters and equal training bytes the bounded memories stay within 2% of
attention's bits per byte at the training context, and do not get worse beyond it, where attention's
rotary positions are untrained. Either half can be refuted.

Text: the source of the running Python's standard library, which every machine has, split by module;
and the PG-19 subset where ``HMLCORE_DATA`` or the hub has it. The rate is chosen on validation.
"""

from typing import Any

import torch

from hmlcore.evaluation.metrics import Scores
from hmlcore.evaluation.physics import phase_portrait
from hmlcore.models import Backbone
from hmlcore.studies.kit.comparison import PROPOSED, task_spec, training_spec
from hmlcore.studies.kit.study import COMPARED, Protocol
from hmlcore.tasks import Task

_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        corpora=["stdlib"], seeds=3, lrs=[3e-3], steps=30, batch_size=8, d_model=32, layers=2, heads=2,
        length=64, contexts=[64, 128], tokens=8_192, trace=64,
    ),
    "laptop": dict(
        corpora=["stdlib", "pg19"], seeds=3, lrs=[1e-3, 3e-3], steps=600, batch_size=8, d_model=64, layers=2,
        heads=4, length=256, contexts=[256, 1024], tokens=131_072, trace=256,
    ),
    "full": dict(
        corpora=["stdlib", "pg19"], seeds=5, lrs=[1e-3, 3e-3], steps=20_000, batch_size=64, d_model=256,
        layers=6, heads=4, length=1024, contexts=[1024, 4096, 16_384], tokens=1_048_576, trace=512,
    ),
}  # fmt: skip
POSITION_BINS = 16


def grid(profile: str) -> list[dict]:
    """All runs of the profile: the corpus every machine has first, then seeds outermost."""
    s = _SETTINGS[profile]

    def scored(corpus: str, context: int, split: str) -> dict:
        examples = s["tokens"] // context
        # About 8k tokens at once, so that long contexts fit the same memory.
        batch = max(1, min(examples, 8192 // context))
        task = task_spec("bytes", corpus=corpus, length=context)
        return {**task, "split": split, "examples": examples, "batch_size": batch}

    specs = []
    for corpus in s["corpora"]:
        for seed in range(s["seeds"]):
            for lr in s["lrs"]:
                for mixer in COMPARED:
                    spec = training_spec(
                        "bytes", profile, mixer, seed=seed, lr=lr, steps=s["steps"],
                        batch_size=s["batch_size"], model=PROPOSED.model(mixer, 256, s["length"], s),
                        train=[task_spec("bytes", corpus=corpus, length=s["length"])],
                        evaluate=[
                            scored(corpus, s["length"], "validation"),
                            *(scored(corpus, context, "test") for context in s["contexts"]),
                        ],
                    )  # fmt: skip
                    if mixer == "hml" and seed == 0:  # drawn no more; part of what stored runs are
                        spec["trace"] = task_spec("bytes", corpus=corpus, length=s["trace"])
                    specs.append(spec)
    return specs


def measure(task: Task, scores: Scores) -> list[dict]:
    """Bits per byte, over all positions and over equal stretches of the context."""
    rows = [{"metric": "bits_per_byte", "value": scores.bits_per_token, "n": scores.tokens}]
    for first, _, bits, n in scores.bits_by_position(POSITION_BINS):
        rows.append({"metric": "bits_per_byte_at", "position": first, "value": bits, "n": n})
    return rows


def trace(model: Backbone, task: Task) -> list[dict]:
    """The phase portrait of the last layer on the first test window."""
    inputs: torch.Tensor = task.batch("test", 0, 1, seed=0).inputs
    return phase_portrait(model, inputs[0])


PROTOCOLS = {"bytes": Protocol(grid, measure, trace)}
