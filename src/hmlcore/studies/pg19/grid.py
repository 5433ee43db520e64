"""The grid of the books: tuning, every mixer on byte pairs, then what concerns the headline pair alone.

Tuning is a short training at each rate, one chosen on validation; at profiles that were not tuned the largest.
"""

from pathlib import Path
from typing import Any

import torch

from hmlcore.errors import require
from hmlcore.evaluation.long_text import context_rows, sample_row
from hmlcore.evaluation.metrics import Scores
from hmlcore.models import Backbone
from hmlcore.models.generation import Sampling
from hmlcore.studies.kit.comparison import (
    DEFAULT,
    HEADLINE,
    chosen_rate,
    read_rates,
    scored,
    task_from,
    task_spec,
    training_spec,
)
from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.pg19 import MIXERS
from hmlcore.tasks import Task
from hmlcore.tasks.text import Text

PROMPT = "It was late in the evening when the captain came on deck. He looked at the sea, and said:"
SAMPLING = Sampling(temperature=0.8, top_p=0.95)
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        corpus="stdlib", vocab=300, d_model=16, heads=2, layers=2, length=32, batch_size=4, steps=5, tuning=2,
        seeds=2,
        lrs=[1e-3, 3e-3], books=2, span=2_000, drawn=8, held=4,
    ),
    "laptop": dict(
        corpus="pg19", vocab=2048, d_model=160, heads=4, layers=2, length=256, batch_size=8, steps=300,
        tuning=80, seeds=3, lrs=[3e-3, 1e-2], books=4, span=81_920, drawn=120, held=256,
    ),
    "full": dict(
        corpus="pg19", vocab=16_384, d_model=512, heads=8, layers=12, length=2048, batch_size=32, steps=20_000,
        tuning=2_000, seeds=3, lrs=[3e-4, 1e-3], books=7, span=300_000, drawn=200, held=512,
    ),
}  # fmt: skip
# Contexts of the test, in tokens; the stride is half of them. The longest holds all of a book's `span` bytes.
_CONTEXTS = {
    "smoke": {"bpe": [32, 128, 2048], "bytes": [32, 2048]},
    "laptop": {"bpe": [256, 1024, 4096, 32_768], "bytes": [256, 81_920]},
    "full": {"bpe": [256, 1024, 2048, 8192, 32_768, 131_072], "bytes": [2048, 32_768, 300_000]},
}
BYTES = ("hml", "attention")


def grid(profile: str) -> list[dict]:
    """All runs of the profile: tuning, every mixer, then what concerns the headline pair alone."""
    seeds, lrs = _SETTINGS[profile]["seeds"], _SETTINGS[profile]["lrs"]
    rates = read_rates(Path(__file__).parent)
    specs = [_spec(profile, mixer, "bpe", "tuning", 0, lr) for lr in lrs for mixer in MIXERS]

    def chosen(mixer: str, tokenizer: str, variant: str, seed: int) -> dict:
        lr = chosen_rate(rates, profile, "pg19", "bpe, tuning", mixer, lrs)
        return _spec(profile, mixer, tokenizer, variant, seed, lr)

    specs += [chosen(mixer, "bpe", "windows", 0) for mixer in MIXERS]
    specs += [chosen(mixer, "bpe", "windows", seed) for seed in range(1, seeds) for mixer in HEADLINE]
    specs += [chosen(mixer, "bpe", "carried", 0) for mixer in HEADLINE]
    specs += [chosen(mixer, "bytes", "windows", 0) for mixer in BYTES]
    return specs


def _spec(profile: str, mixer: str, tokenizer: str, variant: str, seed: int, lr: float) -> dict:
    s = _SETTINGS[profile]
    order = "stream" if variant == "carried" else "windows"
    text = {"corpus": s["corpus"], "tokenizer": tokenizer, "vocab": s["vocab"], "length": s["length"]}
    steps = s["tuning" if variant == "tuning" else "steps"]
    batch = max(1, 8192 // s["length"])
    # The matrix memories' 2·N·d_model floats, as keys and values of N tokens.
    window = {"num_heads": s["heads"], "window": s["d_model"] // s["heads"]}
    # Bytes get the parameters of byte pairs: the same budget, spent in the blocks.
    model = DEFAULT.model(mixer, s["vocab"], s["length"], s)
    model["mixer_args"] = window if mixer == "window_attention" else model["mixer_args"]
    windows = [[context, context // 2] for context in _CONTEXTS[profile][tokenizer]]
    tested = {"books": s["books"], "span": s["span"], "windows": windows, "drawn": s["drawn"]}
    asked: dict[str, Any] = {} if variant == "tuning" else {"long_text": tested}
    return training_spec(
        "pg19", profile, mixer, task=tokenizer, variant=variant, seed=seed, lr=lr, steps=steps,
        batch_size=s["batch_size"], model=model, train=[task_spec("text", **text, order=order)],
        evaluate=scored([task_spec("text", **text)], "validation", s["held"], batch),
        **asked,
    )  # fmt: skip


def measure(task: Task, scores: Scores) -> list[dict]:
    """Bits per token at the training length, by which learning rates are chosen."""
    return [{"metric": "bits_per_token", "value": scores.bits_per_token, "n": scores.tokens}]


def examine(model: Backbone, _untrained: Backbone, spec: dict) -> list[dict]:
    """How much text was read, and unless it was for tuning: the test books at every context, and a sample."""
    task = task_from(spec["train"][0])
    assert isinstance(task, Text)
    rows = [{"metric": "training_bytes", "split": "train", "value": float(_bytes_read(task, spec))}]
    if "long_text" not in spec:
        return rows
    asked = spec["long_text"]
    tokenizer = task.opened_tokenizer
    windows = [(int(context), int(stride)) for context, stride in asked["windows"]]
    rows += context_rows(model, tokenizer, spans(task, asked["books"], asked["span"]), windows)
    return [*rows, sample_row(model, tokenizer, PROMPT, asked["drawn"], SAMPLING)]


def spans(task: Text, books: int, span: int) -> dict[str, torch.Tensor]:
    """The beginnings of the first `books` test documents of at least `span` bytes: title → tokens.

    They are tokens of the whole document, as its reader meets them, as many as end within `span` bytes.
    """
    tokens, titles = task.tokens("test"), task.titles("test")
    found: dict[str, torch.Tensor] = {}
    for number, name in enumerate(tokens.names):
        beginning = torch.from_numpy(tokens.cut(number, 0, span))
        ends = task.token_bytes[beginning].cumsum(0)
        if len(found) < books and int(ends[-1]) >= span:
            found[titles.get(name, name)] = beginning[ends <= span]
    require(
        len(found) == books, f"books = {books}, but only {len(found)} test documents have span = {span} bytes"
    )
    return found


def _bytes_read(task: Text, spec: dict) -> int:
    """Bytes that the targets of all training batches stand for."""
    batches = (task.batch("train", step, spec["batch_size"], spec["seed"]) for step in range(spec["steps"]))
    return sum(int(task.token_bytes[batch.targets].sum()) for batch in batches)


PROTOCOLS = {"pg19": Protocol(grid, measure, examine=examine)}
