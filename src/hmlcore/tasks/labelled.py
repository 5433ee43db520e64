"""Tasks that ask for one label a sequence."""

import functools
from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch

from hmlcore.errors import require
from hmlcore.tasks.base import Task, generator


class Labelled(NamedTuple):
    """One batch of sequences of different lengths: row b counts up to ``lengths[b]``, then is padding.

    inputs: [B, T] int64.  lengths: [B] int64 in 1 … T.  labels: [B] int64 in [0, classes).
    """

    inputs: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor

    def trimmed(self) -> "Labelled":
        """Without the columns that are padding in every row: the same batch, less work."""
        return self._replace(inputs=self.inputs[:, : int(self.lengths.max())])


class LabelledTask(Task):
    """A task whose batches are :class:`Labelled`: the model reads a sequence and says its class."""

    max_length: int

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many labels there are."""

    @property
    def length(self) -> int:
        return self.max_length

    def conditions(self) -> dict[str, Any]:
        return {"length": self.max_length}

    @abstractmethod
    def batch(self, split: str, index: int, batch_size: int, seed: int) -> Labelled:
        """As every task; held-out sets end, and a batch beyond the end is refused."""

    def _numbers(self, split: str, index: int, batch_size: int, seed: int, count: int) -> np.ndarray:
        """Which of the `count` examples of a split are in a batch, [batch_size]."""
        numbers = np.arange(index * batch_size, (index + 1) * batch_size)
        if split == "train":
            return in_epochs(self.name, numbers, count, seed)
        end = numbers[-1] + 1
        require(end <= count, f"{split} has {count} examples; batch {index} of {batch_size} ends at {end}")
        return numbers


def in_epochs(task: str, numbers: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Which of `count` training examples come as numbers [n] of an endless sequence: all of them once an epoch,
    in an order drawn anew for every epoch from the seed."""
    epochs, turns = np.divmod(numbers, count)
    for epoch in np.unique(epochs):
        now = epochs == epoch
        turns[now] = _order(task, seed, int(epoch), count)[turns[now]]
    return turns


@functools.lru_cache(maxsize=4)
def _order(task: str, seed: int, epoch: int, count: int) -> np.ndarray:
    return generator(task, "train", seed, epoch).permutation(count)
