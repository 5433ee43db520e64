"""The families of tasks on which memories of one ground are compared: one definition, for choosing and testing.

    copy         a message of some symbols kept through a silence: load and lag
    recall       keys and values, many pairs (MQAR)
    needle       four keys with their values in a haystack, at and beyond the lengths of training
    sums         parity, sums modulo 5, recurrences: what has to be carried along, beyond training too
    expressions  nested MIN, MAX, MED and SM of digits (ListOps, small)
    books        the next byte of whole books

A case of its own, in no family, are byte pairs: at no size that a laptop can train did any memory come below
the n-gram floor on them, so that they decide nothing there. Where a case is solved, .99 of the training
answers right, a run ends early; books are read to the end.

A family's score is the mean over its cases of the mean over a case's conditions: accuracy, or minus the bits
a byte of text (`kit.scores`). What is chosen is chosen by the same conditions of the validation split.
"""

from collections.abc import Mapping
from typing import Any

import torch

from hmlcore.evaluation.labels import LabelScores
from hmlcore.evaluation.metrics import Scores
from hmlcore.evaluation.snapping import rotor_layers
from hmlcore.models import Backbone
from hmlcore.studies.kit.comparison import case_spec, scored, task_spec
from hmlcore.studies.kit.floor import floor_rows
from hmlcore.studies.kit.ground import model_ground
from hmlcore.studies.kit.scores import FAMILIES, FAMILY
from hmlcore.studies.kit.snapping import snapped_rows
from hmlcore.tasks import Task
from hmlcore.tasks.needle import RULER

LATTICES = (60, 84, 420)
"""Of turns, for layers with rotors: 60 holds 2, 3, 4, 5, 6, 10, 12; 84 also 7; 420 all of them, more finely."""

_SIZES: dict[str, dict[str, Any]] = {
    "smoke": dict(
        common=dict(batch_size=4, d_model=32, heads=4, layers=2, examples=4, steps=3),
        copy=([(2, 4), (4, 4)], [(4, 4), (2, 16)]), recall=([2, 4], [2, 4]), recall_vocab=34,
        needle=([32, 48], [48, 96]), sums=([8], [8, 16]), snap=12, terms=([8], [8, 16]),
        expressions=dict(max_length=24, max_depth=3, max_args=5, balanced=True,
                         training_examples=64, held_out=8),
        corpus="stdlib", length=32, vocab=300, steps={}, solved_at=0.99,
    ),
    "laptop": dict(
        common=dict(batch_size=16, d_model=32, heads=4, layers=2, examples=256),
        copy=([(4, 8), (8, 16), (16, 16), (8, 64)], [(16, 16), (8, 64), (8, 256)]),
        recall=([4, 8, 16], [4, 8, 16, 32]), recall_vocab=130,
        needle=([32, 64, 128], [128, 1024]),
        sums=([8, 16, 32, 64], [64, 256, 1024]), snap=128, terms=([16, 32, 64], [64, 256]),
        expressions=dict(max_length=64, min_length=8, max_depth=3, max_args=5, balanced=True,
                         training_examples=80_000),
        # The smallest models that a trial saw below the floor, on bytes: 3 million tokens at width 96.
        corpus="pg19", length=128, vocab=1024, books=dict(d_model=96, examples=512),
        steps=dict(copy=1200, recall=1600, needle=1600, parity=1600, sums=1600, recurrences=1600,
                   expressions=2400, books=1500),
        solved_at=0.99,
    ),
    "full": dict(
        common=dict(batch_size=64, d_model=128, heads=4, layers=2, examples=1024),
        copy=([(8, 64), (16, 256), (32, 512), (64, 512)], [(64, 512), (32, 4096), (16, 65_536)]),
        recall=([16, 32, 64], [32, 64, 128]), recall_vocab=1026,
        needle=([256, 512], [512, 4096, 16_384]),
        sums=([8, 16, 32, 64], [64, 1024, 16_384]), snap=256, terms=([16, 32, 64], [64, 1024]),
        expressions=dict(max_length=500, max_depth=5, balanced=True),
        corpus="pg19", length=1024, vocab=16_384,
        steps=dict.fromkeys(FAMILIES, 20_000), solved_at=0.99,
    ),
}  # fmt: skip


def cases(profile: str) -> dict[str, dict]:
    """Case → settings, as :func:`~hmlcore.studies.kit.comparison.case_spec` takes them: train, test and sizes.

    Those with `snap` are tested beyond training: validation at that length decides what a rotor is snapped to.
    """
    s = _SIZES[profile]
    found = _kept(s) | _carried(s) | {"expressions": _both([task_spec("listops", **s["expressions"])])}
    found = {case: own | {"solved_at": s["solved_at"]} for case, own in found.items()}
    for case, tokenizer in {"bytes": "bytes", "byte pairs": "bpe"}.items():
        text = task_spec("text", corpus=s["corpus"], tokenizer=tokenizer, vocab=s["vocab"], length=s["length"])
        found[case] = _both([text]) | s.get("books", {})
    return {case: s["common"] | _steps(s, case) | own for case, own in found.items()}


def _steps(s: Mapping, case: str) -> dict:
    steps, family = s["steps"], FAMILY.get(case, "books")
    return {"steps": steps[case if case in steps else family]} if steps else {}


def _both(train: list[dict], test: list[dict] | None = None) -> dict:
    return {"train": train, "test": train if test is None else test}


def _kept(s: Mapping) -> dict[str, dict]:
    def copy(sizes) -> list[dict]:
        return [task_spec("copy", payload=load, delay=lag, cue="previous") for load, lag in sizes]

    def recall(sizes) -> list[dict]:
        return [task_spec("mqar", length=4 * n, pairs=n, vocab=s["recall_vocab"]) for n in sizes]

    def needle(sizes, settings) -> list[dict]:
        return [task_spec("needle", length=n, **RULER[name]) for n in sizes for name in settings]

    train, test = s["needle"]
    # Four questions a sequence beside one: with one alone next to nothing is learned at this size.
    found = {"needle": _both(needle(train, ("multikey_1", "multiquery")), needle(test, ("multikey_1",)))}
    return found | {case: _both(*map(make, s[case])) for case, make in {"copy": copy, "recall": recall}.items()}


def _carried(s: Mapping) -> dict[str, dict]:
    def both(make, train: list[int], test: list[int]) -> dict:
        """Beyond training only the end is scored: what comes before was trained on."""
        longest = max(train)
        beyond = [{"scored": min(32, n // 4)} if n > longest else {} for n in test]
        return _both(
            [make(length=n) for n in train], [make(length=n, **x) for n, x in zip(test, beyond, strict=True)]
        )

    def sums(group: str) -> dict:
        def make(**knobs) -> dict:
            return task_spec("word_problem", group=group, **knobs)

        return both(make, *s["sums"]) | {"layers": 1, "snap": make(length=s["snap"])}

    return {
        "parity": sums("Z2"), "sums modulo 5": sums("Z5"),
        "recurrences": both(lambda **knobs: task_spec("recurrence", **knobs), *s["terms"]),
    }  # fmt: skip


def family_spec(
    experiment: str, profile: str, case: str, mixer: str, arguments: Mapping, *, seed: int, lr: float,
    variant: str, split: str, steps: int | None = None, settings: Mapping | None = None, **own,
) -> dict:  # fmt: skip
    """One run of a case on the common ground, trained by Muon, with scores on `split` alone.

    Args: arguments, of the mixer. steps, other than the case's. settings, other than those that :func:`cases`
        has of it. own, further fields of the spec.
    """
    s: dict[str, Any] = dict(cases(profile)[case] if settings is None else settings)
    s |= {} if steps is None else {"steps": steps}
    snap = s.pop("snap", None)
    if snap:
        (on,) = scored([snap], "validation", s["examples"] // 4)
        own["snapping"] = {"each": "rotor", "lattices": list(LATTICES), "on": on}
    spec = case_spec(
        experiment, profile, case, s | {"test": []}, mixer, seed, lr, variant=variant,
        mixer_args=dict(arguments), optimizer="muon", **own,
    )  # fmt: skip
    spec["evaluate"] = scored(s["test"], split, s["examples"])
    spec["model"] |= model_ground()
    return spec


def measure(task: Task, scores: Scores | LabelScores) -> list[dict]:
    """The score of the family, more is better: accuracy, or minus the bits a token of text; and its parts."""
    if isinstance(scores, LabelScores):
        n, found = scores.sequences, {"accuracy": scores.accuracy}
    else:
        n = scores.tokens
        found = {"bits_per_token": scores.bits_per_token}
        found |= {} if task.name == "text" else {"accuracy": scores.accuracy, "exact": scores.exact_accuracy}
    found["score"] = found.get("accuracy", -found.get("bits_per_token", 0.0))
    return [{"metric": metric, "value": value, "n": n} for metric, value in found.items()]


def examine(model: Backbone, _untrained: torch.nn.Module, spec: dict) -> list[dict]:
    """Rows beside the scores: of text the floor, and the bytes that a token stands for; rotors snapped.

    Rotors are snapped where the case is tested beyond training: the lattices that validation chooses, and every
    accuracy with them.
    """
    if spec["train"][0]["task"] == "text":
        return floor_rows(spec)
    return snapped_rows(model, spec) if "snapping" in spec and rotor_layers(model) else []
