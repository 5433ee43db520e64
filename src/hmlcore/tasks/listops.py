"""ListOps: read a nested list of operations on digits, answer its value. The first task of Long Range Arena."""

import functools
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

from hmlcore import paths
from hmlcore.cache import cached_file
from hmlcore.checks import check_bool, check_fields, check_int, check_optional, check_seed
from hmlcore.errors import HmlcoreError, require
from hmlcore.tasks.base import check_batch
from hmlcore.tasks.labelled import Labelled, LabelledTask
from hmlcore.tasks.listops_trees import OPERATORS, VOCABULARY, longest, random_expressions

_VERSION = "listops-1"  # of the generator: part of every key, raised if its output changes
_ROUND = 4096  # expressions drawn at a time
_PAIRS = len(OPERATORS) * 10  # of an outermost operator and a value
_PATIENCE = 50  # rounds without a new expression after which there are taken to be no more


@dataclass(frozen=True)
class ListOps(LabelledTask):
    """``[MAX 2 [MED 7 1 4 ] 9 ]`` is 9: one of ten labels for a sequence of hundreds of tokens.

    Operators MIN, MAX, MED (the median, rounded down) and SM (sum modulo 10) over 2 to `max_args`
    arguments, nested to `max_depth`; all expressions are distinct and min_length < length < max_length.
    The defaults are Long Range Arena's: 500 < length < 2000, 96,000 to train on and 2,000 each to validate
    and test. A smaller `max_length` makes the same task shorter, with min_length = max_length / 4.

    One sequence of expressions, fixed by `data_seed`, is dealt out: first the test set, then the
    validation set, then the training set, so the held-out sets do not depend on `training_examples`. Training
    visits all of its examples in an order drawn anew, from the run's seed, in every epoch. (The original
    seeds nothing and keeps its examples in a set, whose order changes from run to run.)

    `balanced`, every 40 expressions in a row, as they are dealt out, have each outermost operator with each of
    the ten values once. Else whoever knows that operator alone and says its commonest value is right in .38 of
    expressions with max_length = 64 and max_depth = 3 (MIN and MAX .59, MED .22, SM .11); then it is .1. Within
    such a pair, expressions are as they are drawn.

    Tokens: 0 padding, 1 … 10 digits, 11 … 14 operators, 15 the closing bracket.
    Source: Nangia and Bowman (arXiv 1804.06028); Tay et al., Long Range Arena (arXiv 2011.04006).

    Raises :class:`~hmlcore.errors.HmlcoreError` for lengths that no expression has.
    """

    name: ClassVar[str] = "listops"
    vocab_size: ClassVar[int] = VOCABULARY
    classes: ClassVar[int] = 10

    max_length: int = 2000
    min_length: int | None = None
    max_depth: int = 10
    max_args: int = 10
    balanced: bool = False
    training_examples: int = 96_000
    held_out: int = 2_000
    data_seed: int = 0

    def __post_init__(self) -> None:
        check_fields(
            self, max_length=(check_int, 5), max_depth=(check_int, 2), max_args=(check_int, 2),
            training_examples=(check_int,), held_out=(check_int,), min_length=(check_optional, check_int),
            data_seed=(check_seed,), balanced=(check_bool,),
        )  # fmt: skip
        longest_there_is = longest(self.max_depth, self.max_args, self.max_length)
        require(
            self.shortest < min(self.max_length, longest_there_is + 1) - 1,
            f"min_length={self.shortest} leaves no length below max_length={self.max_length}"
            f" and up to {longest_there_is}, the longest of max_depth={self.max_depth} and"
            f" max_args={self.max_args}",
        )

    @property
    def shortest(self) -> int:
        """The length that every expression exceeds."""
        return self.max_length // 4 if self.min_length is None else self.min_length

    def provenance(self) -> dict[str, str]:
        """The generator's version and the SHA-256 of all expressions and values, in order."""
        return {"data_version": _VERSION, "data_sha256": self._expressions.sha256}

    def batch(self, split: str, index: int, batch_size: int, seed: int) -> Labelled:
        check_batch(split, index, batch_size, seed)
        count = self.training_examples if split == "train" else self.held_out
        first = {"test": 0, "validation": self.held_out, "train": 2 * self.held_out}[split]
        rows = first + self._numbers(split, index, batch_size, seed, count)
        return self._expressions.take(rows, self.max_length)

    @functools.cached_property
    def _expressions(self) -> "Expressions":
        knobs = self.knobs() | {"min_length": self.shortest}
        key = hashlib.sha256(json.dumps([_VERSION, knobs], sort_keys=True).encode()).hexdigest()
        path = paths.cache() / "listops" / f"{key[:24]}.kept"
        return _read(cached_file(path, lambda: [_packed(_generate(self))]))


class Expressions:
    """All expressions end to end: tokens [N] uint8, offsets [n + 1], values [n] uint8."""

    def __init__(self, tokens: np.ndarray, offsets: np.ndarray, values: np.ndarray):
        self.tokens, self.offsets, self.values = tokens, offsets, values
        digest = hashlib.sha256()
        for part in (offsets.astype("<i8"), values, tokens):
            digest.update(np.ascontiguousarray(part).data)
        self.sha256 = digest.hexdigest()

    def take(self, rows: np.ndarray, width: int) -> Labelled:
        """The expressions numbered `rows`, padded with 0 to `width`."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        inside = np.arange(width) < lengths[:, None]
        inputs = np.zeros(inside.shape, dtype=np.int64)
        inputs[inside] = self.tokens[(self.offsets[rows][:, None] + np.arange(width))[inside]]
        labels = self.values[rows].astype(np.int64)
        return Labelled(*(torch.from_numpy(x) for x in (inputs, lengths, labels)))


def _generate(task: ListOps) -> Expressions:
    wanted = task.training_examples + 2 * task.held_out
    rng = np.random.default_rng(np.random.SeedSequence([task.data_seed]))
    # Of each pair of outermost operator and value as many are taken as a balanced set has; else as they come.
    most = -(-wanted // _PAIRS) if task.balanced else wanted
    enough = most * _PAIRS if task.balanced else wanted
    seen, tokens, values, ranks, taken = set(), [], [], [], Counter()
    barren = 0
    with tqdm(total=enough, desc=f"ListOps below {task.max_length}", disable=None, leave=False) as bar:
        while len(values) < enough:
            before = len(values)
            text, offsets, value = random_expressions(
                rng, _ROUND, task.max_depth, task.max_args, task.shortest, task.max_length
            )
            for i, v in enumerate(value):
                expression = text[offsets[i] : offsets[i + 1]].tobytes()
                pair = (expression[0], v) if task.balanced else None
                if taken[pair] < most and expression not in seen:
                    seen.add(expression)
                    tokens.append(expression)
                    values.append(v)
                    ranks.append(taken[pair])
                    taken[pair] += 1
            bar.update(len(values) - before)
            barren = 0 if len(values) > before else barren + 1
            if barren == _PATIENCE:
                raise HmlcoreError(
                    f"found only {len(values)} distinct expressions with {task.shortest} < length <"
                    f" {task.max_length}{' and balanced values' if task.balanced else ''};"
                    f" training_examples={task.training_examples} and held_out={task.held_out} need {wanted}"
                )
    if task.balanced:  # the first of every pair, in an order of chance, then the second of every pair, …
        order = np.lexsort((rng.random(len(ranks)), ranks))
        tokens, values = [tokens[i] for i in order], [values[i] for i in order]
    tokens, values = tokens[:wanted], np.array(values[:wanted], np.uint8)
    offsets = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
    return Expressions(np.frombuffer(b"".join(tokens), np.uint8), offsets, values)


def _packed(made: Expressions) -> pa.Buffer:
    text = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(made.values), [None, pa.py_buffer(made.offsets), pa.py_buffer(made.tokens)]
    )
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"tokens": text, "value": pa.array(made.values)}), sink, compression="zstd")
    return sink.getvalue()


def _read(packed: np.ndarray) -> Expressions:
    table = pq.read_table(pa.BufferReader(pa.py_buffer(packed)))
    text = table["tokens"].combine_chunks()
    offsets, tokens = (np.frombuffer(x, t) for x, t in zip(text.buffers()[1:], ("<i8", np.uint8), strict=True))
    values = table["value"].to_numpy().astype(np.uint8)
    return Expressions(tokens[: offsets[-1]], offsets[: len(text) + 1], values)
