"""Byte pairs: any text and back, learned the same way every time, kept once."""

import hashlib
import json

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import bpe
from hmlcore.tasks.bpe import BPE, ByteTokenizer, learn, tokenizer_of
from hmlcore.tasks.corpora import open_corpus

PROSE = [
    "The sea was grey and the sky was grey, and the ship lay between them like a word between two words. " * 3,
    "“Être”, sagte er, «пора» — 海は広い。\n\n\tIt was 1851; they had 17 barrels of oil and no wind at all.",
]


@pytest.fixture(scope="module")
def learned():
    return learn(PROSE, 300)


@pytest.mark.parametrize("text", [*PROSE, "", " ", "\r\n\r\n  x", "neverseen ŧ 🜁", "\x00\x01\x7f"])
def test_decoding_gives_the_very_bytes_back(learned, text):
    tokens = learned.encode(text.encode())
    assert learned.decode(tokens) == text.encode()
    assert int(learned.sizes[tokens].sum()) == len(text.encode())


def test_every_byte_is_a_token_and_every_token_is_its_bytes(learned):
    singles = {piece for piece in learned.pieces if len(piece) == 1}
    assert singles == {bytes([byte]) for byte in range(256)}
    assert len(learned.pieces) == len(set(learned.pieces)) == learned.vocab_size == 300
    assert learned.sizes.tolist() == [len(piece) for piece in learned.pieces]


def test_what_is_frequent_becomes_one_token(learned):
    assert b" the" in learned.pieces and b" grey" in learned.pieces
    assert len(learned.encode(PROSE[0].encode())) < 0.6 * len(PROSE[0])


def test_learning_again_gives_the_same_hash_and_other_text_another(learned):
    assert learn(PROSE, 300).sha256 == learned.sha256 == hashlib.sha256(learned.text.encode()).hexdigest()
    assert learn(PROSE[::-1], 300).pieces == learned.pieces
    assert learn(PROSE[:1] * 2 + ["zq " * 500], 280).sha256 != learn(PROSE[:1] * 2, 280).sha256


@pytest.fixture
def kept_tokenizer(tmp_path, monkeypatch):
    """A corpus, the tokenizer that was learned from it, and the file in the cache that keeps it."""
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    for i in range(10):
        (tmp_path / f"{i}.txt").write_text(f"chapter {i} " + PROSE[0] * (i + 1))
    corpus = open_corpus(f"folder:{tmp_path}")
    bpe._learned.cache_clear()
    first = tokenizer_of(corpus, "bpe", 270)
    (kept,) = (tmp_path / "cache" / "tokenizers").iterdir()
    return corpus, first, kept


def test_it_is_kept_and_read_back(kept_tokenizer, monkeypatch):
    corpus, first, kept = kept_tokenizer
    assert kept.read_bytes()[:-32].decode() == first.text and kept.name.startswith("bpe-270-")
    bpe._learned.cache_clear()
    monkeypatch.setattr(bpe, "learn", lambda *_: pytest.fail("it was learned before"))
    assert tokenizer_of(corpus, "bpe", 270).sha256 == first.sha256


def test_a_kept_one_that_was_changed_is_learned_again(kept_tokenizer, capsys):
    corpus, first, kept = kept_tokenizer
    parts = json.loads(first.text)
    parts["model"]["merges"][:2] = parts["model"]["merges"][1::-1]  # as good a tokenizer, but another
    for changed in (kept.read_bytes().replace(b'"merges"', b'"Merges"'), json.dumps(parts).encode(), b"{}"):
        kept.write_bytes(changed)
        bpe._learned.cache_clear()
        assert tokenizer_of(corpus, "bpe", 270).text == first.text
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and f"{kept} is damaged" in said
    bpe._learned.cache_clear()
    assert tokenizer_of(corpus, "bpe", 270).text == first.text and capsys.readouterr().err == ""


def without(parts, char):
    """Without a letter, which the library then leaves out of every text in silence."""
    model = parts["model"]
    model["merges"] = [pair for pair in model["merges"] if char not in "".join(pair)]
    left = [piece for piece, _ in sorted(model["vocab"].items(), key=lambda item: item[1]) if char not in piece]
    model["vocab"] = {piece: number for number, piece in enumerate(left)}


def set_to(*path):
    *inner, last, value = path

    def damage(parts):
        for name in inner:
            parts = parts[name]
        parts[last] = value

    return damage


ADDED = {"id": 300, "content": "zq", "single_word": False, "lstrip": True, "rstrip": True, "normalized": False,
         "special": True}  # fmt: skip
LOSSES = {
    "lower case": (set_to("normalizer", {"type": "Lowercase"}), "normalizer"),
    "composing": (set_to("normalizer", {"type": "NFC"}), "normalizer"),
    "replacing": (
        set_to("normalizer", {"type": "Replace", "pattern": {"String": "zebra"}, "content": "horse"}),
        "normalizer",
    ),
    "truncation": (
        set_to(
            "truncation", {"direction": "Right", "max_length": 9999, "strategy": "LongestFirst", "stride": 0}
        ),
        "truncation",
    ),
    "padding": (
        set_to(
            "padding",
            {
                "strategy": {"Fixed": 8},
                "direction": "Right",
                "pad_to_multiple_of": None,
                "pad_id": 0,
                "pad_type_id": 0,
                "pad_token": "!",
            },
        ),
        "padding",
    ),
    "a token that eats spaces": (set_to("added_tokens", [ADDED]), "added_tokens"),
    "a token behind": (
        set_to("post_processor", {"type": "BertProcessing", "sep": ["a", 65], "cls": ["b", 66]}),
        "post_processor",
    ),
    "a space before": (set_to("pre_tokenizer", "add_prefix_space", True), "pre_tokenizer"),
    "words without spaces": (set_to("pre_tokenizer", {"type": "Whitespace"}), "pre_tokenizer"),
    "whole texts": (set_to("pre_tokenizer", None), "pre_tokenizer"),
    "dropout": (set_to("model", "dropout", 0.5), "dropout"),
    "no e": (lambda parts: without(parts, "e"), "1 bytes are no tokens, e.g. b'e'"),
    "no 0xff": (lambda parts: without(parts, "ÿ"), r"1 bytes are no tokens, e.g. b'\\xff'"),
    "a gap": (set_to("model", "vocab", "Zz", 777), "its numbers have gaps"),
    "ends of words": (set_to("model", "end_of_word_suffix", "s"), "end_of_word_suffix"),
    # At some of these the library may end the process.
    "continuations": (set_to("model", "continuing_subword_prefix", "a"), "continuing_subword_prefix"),
    "merges of nothing": (set_to("model", "merges", 0, ["a", ""]), "its merges have"),
    "merges into nothing": (set_to("model", "merges", 0, ["ÿ", "ÿ"]), "its merges have"),
    "other models": (set_to("model", "type", "WordPiece"), "its type is WordPiece"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_tokenizer_that_loses_text_is_refused(learned, loss):
    damage, why = LOSSES[loss]
    parts = json.loads(learned.text)
    assert BPE(json.dumps(parts)).pieces == learned.pieces
    damage(parts)
    with pytest.raises(HmlcoreError, match=rf"^this is no byte-level tokenizer \(.*{why}"):
        BPE(json.dumps(parts))


def test_only_training_text_is_learned_from(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(10):
        (folder / f"{i}.txt").write_text(f"document{i} " * 30 + PROSE[0])
    corpus = open_corpus(f"folder:{folder}")
    said = "".join(bpe._sample(corpus))
    for split, present in (("train", True), ("validation", False), ("test", False)):
        documents = corpus.split(split)
        assert all((documents.content(i)[:9].decode() in said) is present for i in range(len(documents)))
    monkeypatch.setattr(bpe, "LEARNED_FROM", 100)
    assert len("".join(bpe._sample(corpus))) == 100


def test_bytes_are_the_other_tokenizer():
    plain = ByteTokenizer()
    assert plain.encode(b"a\xff\x00").tolist() == [97, 255, 0]
    assert plain.decode(np.array([97, 255, 0])) == b"a\xff\x00"
    assert plain.sizes.tolist() == [1] * 256 == [1] * plain.vocab_size


def test_refusals(learned):
    with pytest.raises(HmlcoreError, match="vocab_size must be above 256, the number of bytes, got 256"):
        learn(PROSE, 256)
    with pytest.raises(HmlcoreError, match=r"vocab_size = 5000 needs more text: only .* byte pairs were found"):
        learn(PROSE, 5000)
    with pytest.raises(HmlcoreError, match=r"byte pairs need UTF-8 text .*tokenizer='bytes' reads any"):
        learned.encode(b"a\xffb")
    with pytest.raises(HmlcoreError, match="this is no byte-level tokenizer"):
        BPE("{}")
    for text in (
        "",
        "[]",
        "3",
        "null",
        '{"model": 3}',
        "[" * 100_000,
        "\ud83d",
        3,
        '{"model": {"type": "BPE"}}',
    ):
        with pytest.raises(HmlcoreError, match="this is no byte-level tokenizer"):
            BPE(text)
