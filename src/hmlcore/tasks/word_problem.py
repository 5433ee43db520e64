"""Word problems of small groups: follow a product that every token changes."""

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from hmlcore.checks import check_choice, check_fields, check_int
from hmlcore.errors import require, unknown
from hmlcore.tasks.base import IGNORE, Batch, SyntheticTask, as_batch

GROUPS = ("Z2", "Z3", "Z5", "Z6", "Z7", "S3", "D4")


@cache
def multiplication(group: str) -> np.ndarray:
    """[n, n] table of `group`: entry (a, b) is a·b, "first a, then b"; element 0 is the identity.

    Zm: sums modulo m. S3: permutations of three things; D4: those of a square's corners that keep neighbours
    neighbours, its turns and reflections. Both numbered in lexicographic order.
    """
    if group not in GROUPS:
        raise unknown("group", group, GROUPS)
    if group.startswith("Z"):
        elements = np.arange(int(group[1:]))
        return (elements[:, None] + elements) % len(elements)
    elements = permutations(group)
    number = {p: i for i, p in enumerate(elements)}
    return np.array([[number[tuple(b[i] for i in a)] for b in elements] for a in elements])


def permutations(group: str) -> list[tuple[int, ...]]:
    """What the elements of S3 or D4 do to the things they permute, in the order of their numbers."""
    if group == "S3":
        return list(itertools.permutations(range(3)))
    # Corners are numbered around the square: those next to each other differ by an odd number.
    square = itertools.permutations(range(4))
    return [p for p in square if all((p[i] - p[i - 1]) % 2 for i in range(4))]


@dataclass(frozen=True)
class WordProblem(SyntheticTask):
    """The running product of uniform group elements: targets[t] = x_1·x_2·…·x_t.

    Group "Z2" is parity, "Zm" addition modulo m ("Z6": both 2 and 3), "S3" the smallest that does not commute
    and "D4", the symmetries of a square, the next.
    No position can be answered from its neighbourhood, and each answer is uniform over the group.

    Args:
        group: one of GROUPS. length: T.
        scored: only the last so many positions are scored; 0, all of them. For lengths beyond training,
            where the early positions are the ones that were trained.

    Source: Grazzi et al. (2024), arXiv 2411.12537, and Merrill, Petty and Sabharwal (2024), arXiv
    2404.08819, for what a linear recurrence can and cannot follow.
    Raises :class:`~hmlcore.errors.HmlcoreError` for an unknown group, length < 1, scored > length.
    """

    name: ClassVar[str] = "word_problem"

    group: str = "Z3"
    length: int = 64
    scored: int = 0

    def __post_init__(self) -> None:
        check_fields(self, group=(check_choice, GROUPS), length=(check_int,), scored=(check_int, 0))
        require(self.scored <= self.length, f"scored must be at most length={self.length}, not {self.scored}")

    @property
    def vocab_size(self) -> int:
        return len(multiplication(self.group))

    def conditions(self) -> dict[str, Any]:
        return {"group": self.group, "length": self.length}

    def generate(self, rng: np.random.Generator, count: int) -> Batch:
        table = multiplication(self.group)
        inputs = rng.integers(len(table), size=(count, self.length))
        targets = np.empty_like(inputs)
        product = np.zeros(count, dtype=np.int64)
        for t in range(self.length):
            product = table[product, inputs[:, t]]
            targets[:, t] = product
        if self.scored:
            targets[:, : self.length - self.scored] = IGNORE
        return as_batch(inputs, targets)
