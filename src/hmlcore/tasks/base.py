"""What a task is: a frozen set of knobs and a pure function from step number to batch."""

import zlib
from abc import ABC, abstractmethod
from dataclasses import Field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from hmlcore.checks import check_choice, check_int, check_seed

SPLITS = ("train", "validation", "test")
IGNORE = -100  # a target that is not scored; torch's cross-entropy skips it by default

# Validation and test examples of synthetic tasks are drawn in blocks of this many, each from its own
# generator, so example number e is the same whatever batch size it is read with.
_BLOCK = 32


class Batch(NamedTuple):
    """One batch: ``targets[:, t]`` is what the model must say after seeing ``inputs[:, :t + 1]``.

    inputs: [B, T] int64.  targets: [B, T] int64, :data:`IGNORE` where nothing is scored.
    """

    inputs: torch.Tensor
    targets: torch.Tensor


class Continued(NamedTuple):
    """One batch of texts that go on: row b continues row b of the batch before, unless ``fresh[b]``.

    What a model carries from batch to batch belongs to one document, so it is emptied where fresh.

    inputs, targets: as in :class:`Batch`.  fresh: [B] bool, where a document begins.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    fresh: torch.Tensor


class Task(ABC):
    """A generator or loader of batches. Subclasses are frozen dataclasses; their fields are the knobs."""

    name: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # of the subclasses

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """How many tokens the model must know; inputs and scored targets lie in [0, vocab_size)."""

    @property
    @abstractmethod
    def length(self) -> int:
        """T, the length of every sequence of a batch."""

    @abstractmethod
    def batch(self, split: str, index: int, batch_size: int, seed: int) -> Batch:
        """Batch number `index` of `split`: a pure function of its arguments.

        Training batches depend on `seed`. Validation and test ignore it: batch `index` holds the
        examples index·batch_size, ..., index·batch_size + batch_size − 1 of one fixed sequence, so the
        first N examples are the same for everyone and for every batch size.

        Raises :class:`HmlcoreError` for an unknown split, a negative index or seed, batch_size < 1.
        """

    @abstractmethod
    def conditions(self) -> dict[str, Any]:
        """The columns that tell this task's result rows apart, e.g. ``{"payload": 8, "delay": 32}``."""

    def provenance(self) -> dict[str, str]:
        """Where real data came from: ``corpus``, ``data_version``, ``data_sha256``; empty if generated."""
        return {}

    def knobs(self) -> dict[str, Any]:
        """The knobs by name: JSON-able, and ``build_task(task.name, **task.knobs())`` is the same task."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __getstate__(self) -> dict[str, Any]:
        return self.knobs()  # a copy in another process opens its data for itself


class SyntheticTask(Task):
    """A task whose examples are generated: subclasses say only how to draw `count` of them."""

    @abstractmethod
    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        """Draw `count` examples from `rng` and from nothing else."""

    def batch(self, split: str, index: int, batch_size: int, seed: int) -> Batch:
        check_batch(split, index, batch_size, seed)
        if split == "train":
            return self.generate(generator(self.name, split, seed, index), batch_size)
        first, end = index * batch_size, (index + 1) * batch_size
        blocks = range(first // _BLOCK, -(-end // _BLOCK))
        drawn = [self.generate(generator(self.name, split, 0, block), _BLOCK) for block in blocks]
        skip = first - blocks.start * _BLOCK
        return Batch(*(torch.cat(parts)[skip : skip + batch_size] for parts in zip(*drawn, strict=True)))


def as_batch(inputs: np.ndarray, targets: np.ndarray) -> Batch:
    """The same numbers as tensors."""
    return Batch(torch.from_numpy(inputs), torch.from_numpy(targets))


def generator(task: str, split: str, seed: int, index: int) -> np.random.Generator:
    """The random stream of one batch (or block), keyed on task name, split, seed and index alone.

    Knobs are left out on purpose: two settings of one task face the same draws as far as shapes allow.
    """
    key = [zlib.crc32(task.encode()), SPLITS.index(split), seed, index]
    return np.random.default_rng(np.random.SeedSequence(key))


def check_batch(split: object, index: object, batch_size: object, seed: object) -> None:
    """Refuse arguments of :meth:`Task.batch` that mean nothing."""
    check_choice("split", split, SPLITS)
    check_int("index", index, 0)
    check_int("batch_size", batch_size)
    check_seed("seed", seed)
