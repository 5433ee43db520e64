"""Where windows may start in documents of given sizes, and in which order one visits them."""

import math
from collections.abc import Sequence

import numpy as np

from hmlcore.errors import require

_GOLDEN = (math.sqrt(5) - 1) / 2


class Windows:
    """Windows of length + 1 tokens inside documents of `sizes` tokens [documents]; at least one is that long.

    A start is a pair of arrays: the number of the document, and the place in it.
    """

    def __init__(self, sizes: np.ndarray, length: int):
        self.sizes = sizes
        self.length = length
        self.positions = _running(sizes - length)
        self.tiles = _running((sizes - 1) // length)
        self.stride = _golden_stride(int(self.tiles[-1]))

    def uniform(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """[count] starts, independent and uniform over all positions."""
        drawn = rng.integers(self.positions[-1], size=count)
        document = np.searchsorted(self.positions, drawn, side="right") - 1
        return document, drawn - self.positions[document]

    def spread(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """[count] starts: numbers first, first + 1, ... of the fixed walk over all tiles."""
        lap, turn = np.divmod(np.arange(first, first + count), self.tiles[-1])
        tile = turn * self.stride % self.tiles[-1]
        document = np.searchsorted(self.tiles, tile, side="right") - 1
        shift = (lap * _GOLDEN % 1 * self.length).astype(np.int64)
        start = (tile - self.tiles[document]) * self.length + shift
        return document, np.minimum(start, self.sizes[document] - self.length - 1)


def windows_of(sizes: np.ndarray, names: Sequence[str], length: int, unit: str, place: str) -> Windows:
    """The windows of documents that have names and sizes in `unit`; `place` is where they are.

    Raises: HmlcoreError where none is long enough.
    """
    longest = int(sizes.argmax())
    require(
        sizes[longest] > length,
        f"length={length} needs a document of at least {length + 1} {unit}; the longest in {place}, "
        f"{names[longest]!r}, has {sizes[longest]}",
    )
    return Windows(sizes, length)


class Lanes:
    """Texts read from beginning to end in `lanes` rows at once, `length` tokens a step.

    Documents are dealt out to the lanes in an order drawn from the seed. A lane reads its own one after
    another, whole stretches only (a rest of less than length + 1 tokens is left out), and then again in
    another order. What a lane reads at a step is a pure function of (seed, step).

    Raises: ValueError if a lane would have nothing to read.
    """

    def __init__(self, sizes: np.ndarray, length: int, lanes: int, seed: int):
        stretches = (sizes - 1) // length
        order = np.random.default_rng([seed, lanes]).permutation(np.flatnonzero(stretches > 0))
        self.length, self.seed = length, seed
        self.documents = [order[lane::lanes] for lane in range(lanes)]
        if any(len(dealt) == 0 for dealt in self.documents):
            raise ValueError(f"{len(order)} documents for {lanes} lanes")
        self.stretches = stretches

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """(document, place) [lanes] at `step`; a document begins where place is 0."""
        found = [self._of(lane, step) for lane in range(len(self.documents))]
        document, place = zip(*found, strict=True)
        return np.array(document), np.array(place)

    def _of(self, lane: int, step: int) -> tuple[int, int]:
        dealt = self.documents[lane]
        lap, rest = divmod(step, int(self.stretches[dealt].sum()))
        dealt = np.random.default_rng([self.seed, lane, lap]).permutation(dealt)
        ends = np.cumsum(self.stretches[dealt])
        which = int(np.searchsorted(ends, rest, side="right"))
        before = int(ends[which - 1]) if which else 0
        return int(dealt[which]), (rest - before) * self.length


def _running(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.maximum(counts, 0))])


def _golden_stride(tiles: int) -> int:
    """A step that visits every tile before repeating, and whose every prefix is spread evenly."""
    stride = max(1, round(tiles * _GOLDEN))
    while math.gcd(stride, tiles) != 1:
        stride += 1
    return stride
