"""The floor under every table of text: an n-gram model of the very tokens that a run was trained on.

A memory that pays more than counting the same text does has not shown that it remembers any of it.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hmlcore.checks import check_int
from hmlcore.errors import require
from hmlcore.evaluation.ngrams import KneserNey
from hmlcore.results import canonical
from hmlcore.studies.kit.comparison import task_from
from hmlcore.tasks import Batch, Continued
from hmlcore.tasks.bytes import Bytes
from hmlcore.tasks.text import Text

ORDER = 5
_FAR = 2**48  # more than any split has tokens


def floor_rows(spec: dict, order: int = ORDER) -> list[dict]:
    """What :class:`~hmlcore.evaluation.ngrams.KneserNey` pays where `spec` evaluates, for use in an `examine`.

    It counts all batches of the run's training: a window is a row of its own, as it is for the model, and what
    several windows show of one place is counted once, which makes the better floor; a text that goes on from
    batch to batch is one row from its first token to its last. It then predicts the targets of each text in
    ``evaluate`` from what stands before them in their window, at most order − 1 tokens.

    Returns: for each of them, with the task's conditions, its length and split and the number n of targets,
        ``ngram_bits`` a token, ``ngram_bits_per_byte`` of what the targets stand for, and ``bytes_per_token``,
        which turns a model's bits a token into bits a byte too; nothing for a run that is not trained on text
        alone. Runs that differ in model and rate share one computation within a process.
    Raises: HmlcoreError for an order below 1 or above the length of what is read, and for texts of different
        vocabularies.
    """
    order = check_int("order", order)
    tasks = [task_from(task) for task in spec["train"]]
    if not all(isinstance(task, Text | Bytes) for task in tasks):
        return []
    parts = {name: spec[name] for name in ("train", "evaluate", "steps", "batch_size", "seed")}
    data = [task.provenance()["data_sha256"] for task in tasks]  # a folder may have changed since
    return [dict(row) for row in _rows(canonical({**parts, "data": data}), order)]


@lru_cache(maxsize=64)
def _rows(parts: str, order: int) -> tuple[dict, ...]:
    spec, found = json.loads(parts), []
    entries = [(entry, task_from(entry)) for entry in spec["evaluate"]]
    asked = [(entry, task) for entry, task in entries if isinstance(task, Text | Bytes)]
    tasks: list[Any] = [task_from(task) for task in spec["train"]]  # of text, as `floor_rows` saw
    sizes = sorted({task.vocab_size for task in [*tasks, *(task for _, task in asked)]})
    require(len(sizes) == 1, f"train and evaluate have vocabularies of {sizes} tokens; a floor counts one")
    read, places = training_rows(tasks, spec["steps"], spec["batch_size"], spec["seed"])
    model = KneserNey(read, sizes[0], order, places)
    for entry, task in asked:
        batch, split = entry["batch_size"], entry["split"]
        batches = [task.batch(split, i, batch, 0) for i in range(entry["examples"] // batch)]
        rows: np.ndarray = np.concatenate([_whole(b) for b in batches])
        bits, targets = float(np.asarray(model.bits(rows))[:, 1:].mean()), rows[:, 1:]
        size = 1.0 if isinstance(task, Bytes) else float(task.token_bytes.numpy()[targets].mean())
        here = {**task.conditions(), "length": task.length, "split": split, "n": targets.size}
        values = {"ngram_bits": bits, "ngram_bits_per_byte": bits / size, "bytes_per_token": size}
        found += [{**here, "metric": metric, "value": value} for metric, value in values.items()]
    return tuple(found)


def training_rows(
    tasks: Sequence[Text | Bytes], steps: int, batch_size: int, seed: int
) -> tuple[list[np.ndarray], list[int]]:
    """What a training reads, as texts that the model reads without a break: tokens [T_r], and where they begin.

    Step i reads batch i of task i mod len(tasks), as :func:`hmlcore.training.loop.train` does. Places of one
    corpus are those of its training split; corpora lie far apart.
    """
    corpora = [task.provenance()["data_sha256"] for task in tasks]
    rows: list[list[np.ndarray]] = []
    places: list[int] = []
    lanes: list[list[np.ndarray]] = [[] for _ in range(batch_size)]
    for step in range(steps):
        task, corpus = tasks[step % len(tasks)], corpora[step % len(tasks)]
        batch = task.batch("train", step, batch_size, seed)
        starts = task.places("train", step, batch_size, seed) + _FAR * corpora.index(corpus)
        fresh = batch.fresh.tolist() if isinstance(batch, Continued) else [True] * batch_size
        for b, (whole, start) in enumerate(zip(_whole(batch), starts.tolist(), strict=True)):
            if fresh[b] or not lanes[b]:
                lanes[b] = [whole]
                rows.append(lanes[b])
                places.append(start)
            else:
                lanes[b].append(whole[1:])  # its first token ended the batch before
    return [np.concatenate(row) for row in rows], places


def _whole(batch: Batch | Continued) -> np.ndarray:
    """The windows that inputs and targets [B, T] were cut from: [B, T + 1]."""
    return np.concatenate([batch.inputs.numpy(), batch.targets[:, -1:].numpy()], 1)
