"""Random draws that several tasks need, for all rows of a batch at once."""

import numpy as np


def sample_without_replacement(rng: np.random.Generator, rows: int, population: int, count: int) -> np.ndarray:
    """[rows, count] draws from 0..population−1, uniform and without repetition in each row.

    The first `count` steps of a Fisher-Yates shuffle, taken by all rows together.
    """
    pool = np.tile(np.arange(population), (rows, 1))
    chosen = rng.integers(np.arange(count), population, size=(rows, count))
    row = np.arange(rows)
    for i in range(count):
        picked = pool[row, chosen[:, i]]
        pool[row, chosen[:, i]] = pool[:, i]
        pool[:, i] = picked
    return pool[:, :count]
