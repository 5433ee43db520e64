"""Language modelling of real text in bytes or byte pairs: say the next token."""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from hmlcore.checks import check_choice, check_fields, check_int, check_optional
from hmlcore.errors import HmlcoreError, require
from hmlcore.tasks.base import SPLITS, Batch, Continued, Task, check_batch, generator
from hmlcore.tasks.bpe import Tokenizer, tokenizer_of
from hmlcore.tasks.corpora import check_corpus, label, open_corpus
from hmlcore.tasks.documents import Corpus
from hmlcore.tasks.pg19 import titles
from hmlcore.tasks.shards import Tokens, tokenised
from hmlcore.tasks.windows import Lanes, Windows, windows_of

TOKENIZERS = ("bytes", "bpe")
ORDERS = ("windows", "stream")


@dataclass(frozen=True)
class Text(Task):
    """Next-token prediction over windows of `length` tokens, every position scored.

    A window is length + 1 tokens of one document (a book, a file) and never crosses into another; inputs are
    its first `length` tokens, targets its last. Nats summed over targets, divided by ln 2 and by the bytes that
    the targets stand for (:attr:`token_bytes`), are bits per byte, which tokenizers share.

    Training, by `order`:

    ``windows``  windows independent and uniform over all start positions, keyed on (seed, index)
    ``stream``   row b of a batch goes on where row b of the batch before ended, through one document after
                 another (:class:`~hmlcore.tasks.windows.Lanes`): batches are :class:`Continued`, for
                 truncated backpropagation with carried state

    Validation and test are fixed tiles, no token a target twice, in an order whose every prefix is spread
    evenly over the split (:class:`~hmlcore.tasks.windows.Windows`).

    corpus: ``"pg19"``, ``"stdlib"`` or a folder (:mod:`hmlcore.tasks.corpora`).  tokenizer: ``"bytes"`` or
    ``"bpe"``, byte pairs learned from the training split, of which there are `vocab`.  books: as in
    :class:`~hmlcore.tasks.bytes.Bytes`.

    Raises :class:`~hmlcore.errors.HmlcoreError` for a knob out of range and an unknown corpus at once, and
    when data is first asked for: for a source that is missing, a document that two splits share, and a split
    without a document longer than `length`.
    """

    name: ClassVar[str] = "text"

    corpus: str = "pg19"
    tokenizer: str = "bpe"
    vocab: int = 4096
    length: int = 256
    books: int | None = None
    order: str = "windows"

    def __post_init__(self) -> None:
        check_fields(
            self, length=(check_int,), vocab=(check_int, 257), tokenizer=(check_choice, TOKENIZERS),
            order=(check_choice, ORDERS), books=(check_optional, check_int),
        )  # fmt: skip
        check_corpus(self.corpus, self.books)

    @property
    def vocab_size(self) -> int:
        return 256 if self.tokenizer == "bytes" else self.vocab

    def conditions(self) -> dict[str, Any]:
        return {"corpus": label(self.corpus), "tokenizer": self.tokenizer, "context": self.length}

    def provenance(self) -> dict[str, str]:
        opened, tokens = self._corpus, self.opened_tokenizer
        self.tokens("train")  # asked before a grid's processes start, so that one of them tokenises for all
        version = f"{opened.version}; {tokens.name}"
        if tokens.sha256:
            version += f" {tokens.vocab_size} {tokens.sha256[:16]}"
        return {"corpus": opened.name, "data_version": version, "data_sha256": opened.sha256}

    @functools.cached_property
    def opened_tokenizer(self) -> Tokenizer:
        """The tokenizer; byte pairs are learned now if they never were."""
        return tokenizer_of(self._corpus, self.tokenizer, self.vocab)

    @functools.cached_property
    def token_bytes(self) -> torch.Tensor:
        """[vocab_size] bytes that each token stands for."""
        return torch.from_numpy(self.opened_tokenizer.sizes)

    def tokens(self, split: str) -> Tokens:
        """All documents of a split as tokens."""
        check_choice("split", split, SPLITS)
        if split not in self._tokens:
            documents = self._corpus.split(split)
            named = f"{label(self.corpus)} {split}"
            self._tokens[split] = tokenised(documents, self.opened_tokenizer, named)
        return self._tokens[split]

    def titles(self, split: str) -> dict[str, str]:
        """Document → what people call it, where the corpus says so."""
        return titles(split) if self.corpus == "pg19" else {}

    def batch(self, split: str, index: int, batch_size: int, seed: int) -> Batch | Continued:
        starts = self._starts(split, index, batch_size, seed)
        tokens = self.tokens(split)
        read = np.stack([tokens.cut(*start, self.length + 1) for start in zip(*starts, strict=True)])
        inputs, targets = (torch.from_numpy(part.copy()) for part in (read[:, :-1], read[:, 1:]))
        if split == "train" and self.order == "stream":
            return Continued(inputs, targets, torch.from_numpy(starts[1] == 0))
        return Batch(inputs, targets)

    def places(self, split: str, index: int, batch_size: int, seed: int) -> np.ndarray:
        """[B] where the rows of that batch begin, in tokens of the split's documents, one after another."""
        document, place = self._starts(split, index, batch_size, seed)
        sizes = self.tokens(split).sizes
        return (np.cumsum(sizes) - sizes)[document] + place

    def _starts(self, split: str, index: int, batch_size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        check_batch(split, index, batch_size, seed)
        windows = self._windows(split)
        if split != "train":
            return windows.spread(index * batch_size, batch_size)
        if self.order == "windows":
            return windows.uniform(generator(self.name, split, seed, index), batch_size)
        return self._lanes(batch_size, seed).at(index)

    @functools.cached_property
    def _corpus(self) -> Corpus:
        opened = open_corpus(self.corpus, self.books)
        owner: dict[str, str] = {}
        for split in SPLITS:
            documents = opened.split(split)
            for name, digest in zip(documents.names, documents.digests, strict=True):
                other = owner.setdefault(digest, split)
                require(
                    other == split,
                    f"corpus {label(self.corpus)!r}: document {name!r} is in the {other} and the {split} split",
                )
        return opened

    @functools.cached_property
    def _tokens(self) -> dict[str, Tokens]:
        return {}

    @functools.cached_property
    def _started(self) -> dict[str, Windows]:
        return {}

    @functools.cached_property
    def _started_lanes(self) -> dict[tuple[int, int], Lanes]:
        return {}

    def _windows(self, split: str) -> Windows:
        if split not in self._started:
            tokens, place = self.tokens(split), f"the {split} split of corpus {label(self.corpus)!r}"
            self._started[split] = windows_of(tokens.sizes, tokens.names, self.length, "tokens", place)
        return self._started[split]

    def _lanes(self, lanes: int, seed: int) -> Lanes:
        if (lanes, seed) not in self._started_lanes:
            try:
                sizes = self.tokens("train").sizes
                self._started_lanes[lanes, seed] = Lanes(sizes, self.length, lanes, seed)
            except ValueError as error:
                raise HmlcoreError(
                    f"batch_size={lanes} is more than the documents of at least {self.length + 1} tokens in "
                    f"the train split of corpus {label(self.corpus)!r}; order='stream' gives each row its own"
                ) from error
        return self._started_lanes[lanes, seed]
