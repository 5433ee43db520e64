"""IMDB reviews as bytes, liked or not: the Text task of Long Range Arena."""

import functools
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from hmlcore import paths
from hmlcore.checks import check_choice, check_fields, check_int, check_optional
from hmlcore.errors import HmlcoreError, require
from hmlcore.tasks.base import check_batch, generator
from hmlcore.tasks.hub import downloading
from hmlcore.tasks.labelled import Labelled, LabelledTask
from hmlcore.tasks.made_up_reviews import VERSION, made_up_reviews
from hmlcore.tasks.records import checked, records, shown

CORPORA = ("imdb", "made_up")
REPOSITORY = "stanfordnlp/imdb"
REVISION = "e6281661ce1c48d982bc483cf8a173c1bbeb5d31"
_TWO_WAYS = (
    "Either set HMLCORE_DATA to a folder that has imdb/train.jsonl.gz and imdb/test.jsonl.gz (JSON lines with "
    '"text" and "label", 1 for liked), or unset it and let this machine reach huggingface.co once, to download '
    f"{REPOSITORY}."
)


class Reviews(NamedTuple):
    """texts: the reviews as bytes.  labels: 1 where it liked the film, else 0."""

    texts: list[bytes]
    labels: np.ndarray

    def take(self, rows: np.ndarray) -> "Reviews":
        return Reviews([self.texts[row] for row in rows], self.labels[rows])


@dataclass(frozen=True)
class Imdb(LabelledTask):
    """A review is read byte by byte, its first `max_length` bytes; did the writer like the film?

    The official test set is the test set. The original task validates on it; here `held_out` training reviews
    are kept for validation, and no text is in two splits: equal texts of the training set go to one side
    together, and what also is in the test set (a hundred reviews) is in neither. Training visits all of its
    reviews in an order drawn anew, from the run's seed, in every epoch; held-out sets have a fixed mixed order.

    `corpus` "made_up" has a few hundred reviews of a few words, for machines without the real ones.

    Tokens: the 256 bytes; beyond its length a row is padding that no model reads. `max_length` 4,096 is what is
    published; the median review has a thousand bytes. Source: Maas et al. 2011; Tay et al., Long Range Arena
    (arXiv 2011.04006).

    Raises :class:`~hmlcore.errors.HmlcoreError` for a knob below 1 or an unknown corpus at once, and when data
    is first asked for: where it is missing or damaged, and for more `held_out` or `training_examples` than
    there are.
    """

    name: ClassVar[str] = "imdb"
    vocab_size: ClassVar[int] = 256
    classes: ClassVar[int] = 2

    max_length: int = 4096
    held_out: int = 2_500
    training_examples: int | None = None
    corpus: str = "imdb"

    def __post_init__(self) -> None:
        check_fields(
            self, max_length=(check_int,), held_out=(check_int,), training_examples=(check_optional, check_int),
            corpus=(check_choice, CORPORA),
        )  # fmt: skip

    def provenance(self) -> dict[str, str]:
        """Where the reviews come from, and the SHA-256 of all of them in order."""
        self._splits  # noqa: B018 — what is asked for and not there is refused before work starts
        source = opened(self.corpus)
        return {"corpus": self.corpus, "data_version": source.version, "data_sha256": source.sha256}

    def batch(self, split: str, index: int, batch_size: int, seed: int) -> Labelled:
        check_batch(split, index, batch_size, seed)
        reviews = self._splits[split]
        numbers = self._numbers(split, index, batch_size, seed, len(reviews.texts))
        read = [np.frombuffer(reviews.texts[n][: self.max_length], np.uint8) for n in numbers]
        inputs = np.zeros((batch_size, self.max_length), dtype=np.int64)
        for row, text in zip(inputs, read, strict=True):
            row[: len(text)] = text
        lengths = np.array([len(text) for text in read])
        return Labelled(*(torch.from_numpy(x) for x in (inputs, lengths, reviews.labels[numbers])))

    @functools.cached_property
    def _splits(self) -> dict[str, Reviews]:
        train, held, test = _dealt(opened(self.corpus), self.held_out)
        if self.training_examples is not None:
            require(
                self.training_examples <= len(train.texts),
                f"training_examples={self.training_examples}, but {len(train.texts)} reviews are left to train",
            )
            train = train.take(np.arange(self.training_examples))
        return {"train": train, "validation": held, "test": test}


def _dealt(source: "Source", held_out: int) -> tuple[Reviews, Reviews, Reviews]:
    """Train, validation, test; each in a fixed order in which labels are mixed."""
    tested = set(source.test.texts)
    left = [i for i, text in enumerate(source.train.texts) if text not in tested]
    # By the hash of its text, so that equal texts are neighbours and the order says nothing.
    left.sort(key=lambda i: hashlib.sha256(source.train.texts[i]).digest())
    require(
        held_out < len(left), f"held_out={held_out} leaves nothing to train on: there are {len(left)} reviews"
    )
    texts, cut = source.train.texts, held_out
    while cut < len(left) and texts[left[cut]] == texts[left[cut - 1]]:
        cut += 1  # the other copies of the last one
    rows = np.array(left)
    mixed = generator(Imdb.name, "test", 0, 0).permutation(len(source.test.texts))
    return source.train.take(rows[cut:]), source.train.take(rows[:cut]), source.test.take(mixed)


class Source(NamedTuple):
    """Both official splits as they come, what they are in words, and to the byte."""

    version: str
    sha256: str
    train: Reviews
    test: Reviews


def opened(corpus: str) -> Source:
    """The reviews of ``HMLCORE_DATA``, else of the hub; or those that are made up."""
    if corpus == "made_up":
        return _made_up()
    data = paths.data()
    if data is None:
        return _from_hub()
    files = tuple(data / "imdb" / f"{split}.jsonl.gz" for split in ("train", "test"))
    missing = [f"imdb/{file.name}" for file in files if not file.exists()]
    require(not missing, f"HMLCORE_DATA={shown(data)} lacks {', '.join(missing)}. {_TWO_WAYS}")
    return _from_files(files, tuple((f.st_size, f.st_mtime_ns) for f in map(checked, files)))


@functools.lru_cache(maxsize=1)
def _made_up() -> Source:
    splits = [_reviews(enumerate(made_up_reviews(split), 1), VERSION, "row") for split in ("train", "test")]
    return _source(VERSION, *splits)


@functools.lru_cache(maxsize=2)
def _from_files(files: tuple[Path, ...], _changed: tuple) -> Source:
    return _source("IMDB, official splits", *(_reviews(records(file), shown(file), "line") for file in files))


@functools.lru_cache(maxsize=1)
def _from_hub() -> Source:
    with downloading("the reviews of IMDB are", REPOSITORY, _TWO_WAYS, cached=True):
        from datasets import load_dataset

        rows = [load_dataset(REPOSITORY, split=split, revision=REVISION) for split in ("train", "test")]
        _check_revision({Path(file["filename"]).parent.name for part in rows for file in part.cache_files})
        splits = [_reviews(enumerate(part, 1), REPOSITORY, "row") for part in rows]
    return _source(f"{REPOSITORY}@{REVISION}", *splits)


def _check_revision(found: set[str]) -> None:
    """Without the hub, `datasets` takes the newest in its cache, whose folder is named by its revision."""
    others = [name for name in found - {REVISION} if re.fullmatch("[0-9a-f]{40}", name)]
    require(
        not others, f"{REPOSITORY} in the cache is of revision {', '.join(others)}, and {REVISION} is needed"
    )


def _reviews(numbered: Iterable[tuple[int, Any]], place: str, unit: str) -> Reviews:
    texts, labels = [], []
    for number, record in numbered:
        text, label = record.get("text"), record.get("label")
        if not isinstance(text, str) or not text or label not in (0, 1):
            why = 'it has no "text", or its "label" is neither 0 nor 1'
            raise HmlcoreError(f"{place} is damaged at {unit} {number}: {why}")
        texts.append(text.encode())
        labels.append(label)
    require(len(texts) > 0, f"{place} holds no review")
    return Reviews(texts, np.array(labels, dtype=np.int64))


def _source(version: str, train: Reviews, test: Reviews) -> Source:
    digest = hashlib.sha256()
    for part in (train, test):
        digest.update(part.labels.astype("<i8").data)
        for text in part.texts:
            digest.update(len(text).to_bytes(8, "little") + text)
    return Source(version, digest.hexdigest(), train, test)
