"""Tokenizers of text: its bytes, or byte pairs learned from the training split of a corpus.

Byte-pair encoding (Sennrich et al., arXiv 1508.07909) over bytes: a token is a run of bytes, every byte is a
token, so any text has an encoding and a decoding gives the very bytes back. Learned by the `tokenizers` library
once for each corpus and vocabulary, and kept under ``paths.cache()`` with its hash.
"""

import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from hmlcore import paths
from hmlcore.cache import cached_file
from hmlcore.errors import HmlcoreError, require
from hmlcore.tasks.documents import Corpus

# Text that byte pairs are learned from; more changes few of the merges and takes longer.
LEARNED_FROM = 32 * 2**20
_LAYOUT = 1  # of what is learned and how; part of the key


class ByteTokenizer:
    """Every byte is a token: 256 of them."""

    name = "bytes"
    vocab_size = 256
    sha256 = ""

    def encode(self, text: bytes) -> np.ndarray:
        """The bytes themselves."""
        return np.frombuffer(text, dtype=np.uint8)

    def decode(self, tokens) -> bytes:
        """The bytes themselves."""
        return bytes(int(token) for token in tokens)

    @property
    def sizes(self) -> np.ndarray:
        """[vocab_size] bytes of each token."""
        return np.ones(256, dtype=np.int64)


class BPE:
    """Byte pairs as `tokenizers` keeps them: `text` is its JSON, `sha256` the hash of that.

    Raises: HmlcoreError where `text` is no byte-level tokenizer, or one that does not give back the very bytes.
    """

    name = "bpe"

    def __init__(self, text: str):
        from tokenizers import Tokenizer

        self.text = text
        try:
            self.sha256 = hashlib.sha256(text.encode()).hexdigest()
            _require_lossless(json.loads(text))
            self._inner = Tokenizer.from_str(text)
            byte_of = {char: byte for byte, char in enumerate(_byte_characters())}
            vocabulary = sorted(self._inner.get_vocab().items(), key=lambda item: item[1])
            self.pieces = [bytes(byte_of[char] for char in piece) for piece, _ in vocabulary]
            require([number for _, number in vocabulary] == [*range(len(vocabulary))], "its numbers have gaps")
            missing = {bytes([byte]) for byte in range(256)}.difference(self.pieces)
            require(not missing, f"{len(missing)} bytes are no tokens, e.g. {min(missing, default=b'')!r}")
            require(self.decode(self.encode(_SAMPLE)) == _SAMPLE, "what is decoded is not what was encoded")
        except Exception as error:  # the library raises bare Exceptions
            raise HmlcoreError(f"this is no byte-level tokenizer ({error})") from error

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return len(self.pieces)

    @property
    def sizes(self) -> np.ndarray:
        """[vocab_size] bytes of each token."""
        return np.array([len(piece) for piece in self.pieces], dtype=np.int64)

    def encode(self, text: bytes) -> np.ndarray:
        """Tokens of UTF-8 text. Raises: HmlcoreError where it is not UTF-8."""
        try:
            tokens = self._inner.encode(text.decode()).ids
        except UnicodeDecodeError as error:
            raise HmlcoreError(f"byte pairs need UTF-8 text ({error}); tokenizer='bytes' reads any") from error
        return np.array(tokens, dtype=np.uint16 if self.vocab_size <= 2**16 else np.uint32)

    def decode(self, tokens) -> bytes:
        """The bytes that tokens stand for."""
        return b"".join(self.pieces[int(token)] for token in tokens)


Tokenizer = ByteTokenizer | BPE


def learn(texts, vocab_size: int) -> BPE:
    """Byte pairs of `texts` (an iterable of str): the 256 bytes and the vocab_size − 256 most useful merges.

    Raises: HmlcoreError for a vocabulary of at most 256, and for texts too short to fill it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    require(vocab_size > 256, f"vocab_size must be above 256, the number of bytes, got {vocab_size}")
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    inner.train_from_iterator(texts, trainer)
    found = BPE(inner.to_str())
    require(
        found.vocab_size == vocab_size,
        f"vocab_size = {vocab_size} needs more text: only {found.vocab_size} different byte pairs were found",
    )
    return found


def tokenizer_of(corpus: Corpus, kind: str, vocab_size: int) -> Tokenizer:
    """The tokenizer of `kind` ("bytes" or "bpe") for `corpus`; byte pairs are learned from its training split.

    Learned once, and kept in ``paths.cache()/tokenizers``.
    """
    if kind == "bytes":
        return ByteTokenizer()
    documents = corpus.split("train")
    key = json.dumps([_LAYOUT, LEARNED_FROM, vocab_size, documents.digests])
    name = f"bpe-{vocab_size}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.kept"
    return _learned(corpus, paths.cache() / "tokenizers" / name, vocab_size)


@functools.lru_cache(maxsize=8)
def _learned(corpus: Corpus, path: Path, vocab_size: int) -> BPE:
    found = cached_file(path, lambda: [learn(_sample(corpus), vocab_size).text.encode()])
    return BPE(found.tobytes().decode())


def _sample(corpus: Corpus):
    """Training documents in the order of their hashes, which favours none, up to LEARNED_FROM bytes."""
    documents, left = corpus.split("train"), LEARNED_FROM
    for number in sorted(range(len(documents)), key=lambda i: documents.digests[i]):
        if left <= 0:
            return
        text = documents.content(number)[:left]
        left -= len(text)
        yield text.decode("utf-8", "ignore")  # a document cut short may end inside a character


# What may stand in no tokenizer here, as it adds to a text, or takes from it, what no sample need show; the
# library ends the process at some of it.
_PLAIN = {"truncation": None, "padding": None, "normalizer": None, "post_processor": None, "added_tokens": []}
_PLAIN_MODEL = {
    "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
    "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
}  # fmt: skip
# Every byte that UTF-8 has, both cases, runs of all kinds of space, and letters that have several spellings.
_SAMPLE = (
    "".join(map(chr, (*range(0x800), *range(0x800, 0x110000, 0x800)))).encode("utf-8", "ignore")
    + " A  b\t\tC\r\n\r\n \n   \u00a0\u2003\ufeff ÉE\u0301é ﬁ½Ⅳ ß İ<|endoftext|>[UNK] ".encode()
)


def _require_lossless(parts: dict) -> None:
    """Raises: HmlcoreError where a tokenizer, as JSON, has a part that may change or cut a text."""
    for held, allowed in ((parts, _PLAIN), (parts["model"], _PLAIN_MODEL)):
        for part, plain in allowed.items():
            require(held.get(part, plain) == plain, f"its {part} is {str(held.get(part))[:60]}")
    pieces, merges = parts["model"]["vocab"], parts["model"]["merges"]
    wrong = [pair for pair in merges if len(pair) != 2 or not {*pair, "".join(pair)} <= pieces.keys()]
    require(not wrong, f"its merges have {str(wrong[:1])[1:-1][:60]}, not two tokens that make a third")
    before = parts.get("pre_tokenizer") or {}
    plain = before.get("type") == "ByteLevel" and before.get("add_prefix_space") is False
    require(plain, f"its pre_tokenizer is {str(before)[:60]}")


def _byte_characters() -> list[str]:
    """The printable characters that stand for bytes 0 … 255 in a byte-level tokenizer: themselves where they
    print, else the characters from 256 on. Source: Radford et al. 2019 (GPT-2)."""
    prints = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in prints else next(others)) for byte in range(256)]
