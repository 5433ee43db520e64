"""The grid of the ground: every memory at two widths of the embedding, gated ones with three norms."""

import math
from typing import Any

import torch

from hmlcore.studies.kit.comparison import DEFAULT, measure, scored, task_from, task_spec, training_spec
from hmlcore.studies.kit.study import Protocol
from hmlcore.tasks.text import Text

NORMS = ("head", "soft", "none")
WIDTHS = (0.02, 0.12)
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(
        seeds=2, steps=3, batch_size=4, d_model=16, heads=2, layers=2, length=32, corpus="stdlib", vocab=300,
        held=4, pairs=[2], width=16, recall_steps=3, recall_vocab=34, examples=4,
    ),
    "laptop": dict(
        seeds=2, steps=150, batch_size=8, d_model=160, heads=4, layers=2, length=256, corpus="pg19", vocab=2048,
        held=64, pairs=[4, 8, 16], width=32, recall_steps=800, recall_vocab=130, examples=256,
    ),
    "full": dict(
        seeds=2, steps=2000, batch_size=32, d_model=512, heads=8, layers=12, length=2048, corpus="pg19",
        vocab=16_384, held=128, pairs=[16, 32, 64], width=128, recall_steps=10_000, recall_vocab=8192,
        examples=1024,
    ),
}  # fmt: skip
LR = 1e-2


def variants(s: dict) -> dict[str, tuple[str, dict, tuple[str, ...]]]:
    """Name → mixer, arguments, norms that it can have. Equal floats of memory where they can be set."""
    size = {"num_heads": 2 * s["heads"], "head_dim": s["d_model"] // s["heads"]}

    def usual(mixer: str) -> dict:
        return DEFAULT.arguments(mixer, s["d_model"], s["heads"], s["length"])

    slow = size | {"expand_v": 1, "gate_init": "slow"}
    found = {
        "HML": ("hml", usual("hml"), NORMS),
        "HML (delta)": ("hml", size | {"dynamics": "delta"}, NORMS),
        "gated DeltaNet": ("gated_deltanet", usual("gated_deltanet"), NORMS),
        "gated DeltaNet, slow": ("gated_deltanet", slow, NORMS),
    }
    for mixer in ("attention", "mamba", "retnet", "hyena"):
        found[mixer] = (mixer, usual(mixer), ("head",))
    heads = 2 * s["d_model"] // 4  # of a quarter of the inner channels: four of them
    found["mamba2"] = ("mamba2", usual("mamba2") | {"head_dim": heads}, ("head",))
    return found


def grid(profile: str) -> list[dict]:
    """All runs of the profile, seeds outermost."""
    s = _SETTINGS[profile]
    text = task_spec("text", corpus=s["corpus"], tokenizer="bpe", vocab=s["vocab"], length=s["length"])
    recall = [task_spec("mqar", length=4 * n, pairs=n, vocab=s["recall_vocab"]) for n in s["pairs"]]
    small = s | {"d_model": s["width"], "length": 4 * max(s["pairs"]), "vocab": s["recall_vocab"]}
    cases = {
        "text": (s, [text], s["steps"], s["held"]),
        "recall": (small, recall, s["recall_steps"], s["examples"]),
    }
    return [
        _spec(profile, task, case, variant, norm, width, seed)
        for seed in range(s["seeds"])
        for task, case in cases.items()
        for width in WIDTHS
        for variant, (*_, norms) in variants(case[0]).items()
        for norm in norms
    ]


def _spec(profile: str, task: str, case: tuple, variant: str, norm: str, width: float, seed: int) -> dict:
    s, tasks, steps, examples = case
    mixer, given, norms = variants(s)[variant]
    model = DEFAULT.model(mixer, s["vocab"], s["length"], s)
    model["mixer_args"] = given | ({"norm": norm} if len(norms) > 1 else {})
    return training_spec(
        "ground", profile, mixer, task=task, variant=f"{variant} | {norm} | {width:g}", seed=seed, lr=LR,
        steps=steps, batch_size=s["batch_size"], model=model | {"embedding_std": width}, train=tasks,
        evaluate=scored(tasks, "validation", examples), optimizer="muon",
    )  # fmt: skip


def examine(_model, _untrained, spec: dict) -> list[dict]:
    """Of text: what the frequencies of the tokens that were read are worth on validation, in bits a token."""
    task = task_from(spec["train"][0])
    if not isinstance(task, Text):
        return []
    counts = torch.ones(task.vocab_size)
    for step in range(spec["steps"]):
        targets = task.batch("train", step, spec["batch_size"], spec["seed"]).targets
        counts += torch.bincount(targets.flatten(), minlength=task.vocab_size)
    (entry,) = spec["evaluate"]
    targets = torch.cat(
        [
            task.batch("validation", i, entry["batch_size"], 0).targets.flatten()
            for i in range(entry["examples"] // entry["batch_size"])
        ]
    )
    bits = -(counts / counts.sum()).log()[targets].mean() / math.log(2)
    return [{"metric": "unigram_bits", "split": "validation", "value": float(bits), "n": len(targets)}]


PROTOCOLS = {"ground": Protocol(grid, measure, examine=examine)}
