"""Tasks that ask for one label a sequence."""

import functools
from abc import abstractmethod
from typing import NamedTuple

import numpy as np
import torch

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

    @property
    @abstractmethod
    def classes(self) -> int:
        """How many labels there are."""

    @abstractmethod
    def batch(self, split: str, index: int, batch_size: int, seed: int) -> Labelled: ...


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
