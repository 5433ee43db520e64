"""Trained on text as the system's source trains, quickly and in full, and tested on WikiText-2."""

from typing import Any

from hmlcore.evaluation.metrics import Scores
from hmlcore.models import Backbone
from hmlcore.studies.holographic import LAYER
from hmlcore.studies.kit.comparison import parameters_of, scored, task_from, task_spec, training_spec
from hmlcore.studies.kit.floor import floor_rows
from hmlcore.studies.kit.ground import model_ground, norm_ground
from hmlcore.tasks import Task
from hmlcore.tasks.corpora import open_corpus
from hmlcore.tasks.text import Text
from hmlcore.tasks.wikitext import words_of

DELTA = "gated DeltaNet"
VARIANTS = {LAYER: 0.0, "with a loss at random lags": 0.1, DELTA: 0.0}
"""Variant → the weight of its loss beside the task's."""
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(corpus="stdlib", lr=1e-2, seeds=2, steps=3, batch_size=4, d_model=16, layers=2, heads=2,
                  length=32, examples=4, dim=128, slots=2, lag=6, tokenizer="bytes", vocab=257),
    "laptop": dict(corpus="wikitext2", lr=1e-2, seeds=3, steps=100, batch_size=16, d_model=64, layers=2,
                   heads=4, length=128, examples=256, dim=512, slots=4, lag=24, tokenizer="bytes", vocab=257),
    "full": dict(corpus="wikitext2", lr=3e-3, seeds=5, steps=20_000, batch_size=64, d_model=512, layers=8,
                 heads=16, length=256, examples=2048, dim=4096, slots=8, lag=48, tokenizer="bpe", vocab=16_384),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """The layer with and without a second loss, and the matched delta rule, at equal parameters and floats of
    state, which is carried from batch to batch: rows go on through their texts, and gradients end where batches
    do. Attention, whose state grows, cannot. Seeds outermost."""
    s = _SETTINGS[profile]
    task = task_spec(
        "text", corpus=s["corpus"], tokenizer=s["tokenizer"], vocab=s["vocab"], length=s["length"],
        order="stream",
    )  # fmt: skip
    size = 256 if s["tokenizer"] == "bytes" else s["vocab"]
    target = parameters_of(
        size, "attention", s["d_model"], s["layers"], 4 * s["d_model"], {"num_heads": s["heads"]}
    )
    delta = {"num_heads": 2 * s["heads"], "head_dim": s["d_model"] // s["heads"], "expand_v": 1}
    delta |= {"gate_init": "slow"} | norm_ground()
    layer = {"dim": s["dim"], "slots": s["slots"], "lag": s["lag"]} | norm_ground()
    return [
        training_spec(
            "holographic_text", profile, "gated_deltanet" if variant == DELTA else LAYER, variant=variant,
            seed=seed, lr=s["lr"], steps=s["steps"], batch_size=s["batch_size"], optimizer="muon", train=[task],
            model={"d_model": s["d_model"], "layers": s["layers"], "target_parameters": target,
                   "mixer_args": delta if variant == DELTA else layer} | model_ground(),
            evaluate=scored([task], "validation", s["examples"]) + scored([task], "test", s["examples"]),
            **({"auxiliary": weight} if weight else {}),
        )
        for seed in range(s["seeds"])
        for variant, weight in VARIANTS.items()
    ]  # fmt: skip


def measure(task: Task, scores: Scores) -> list[dict]:
    """Bits a token."""
    return [{"metric": "bits_per_token", "value": scores.bits_per_token, "n": scores.tokens}]


def examine(_model: Backbone, _untrained: object, spec: dict) -> list[dict]:
    """What an n-gram model of the same training pays, and the bytes a word of each split, ends of lines among
    the words: bits a byte, times these, are the bits of a word, and 2 to them is its perplexity."""
    rows = floor_rows(spec)
    for entry in spec["evaluate"]:
        task = task_from(entry)
        assert isinstance(task, Text)
        documents = open_corpus(task.corpus).split(entry["split"])
        text = [documents.content(i) for i in range(len(documents))]
        each = sum(map(len, text)) / sum(map(words_of, text))
        here = {**task.conditions(), "length": task.length, "split": entry["split"]}
        rows.append(here | {"metric": "bytes_per_word", "value": each, "n": len(text)})
    return rows
