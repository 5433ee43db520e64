"""Text: windows of one document, streams that go on, and splits that share nothing."""

import math
import pickle

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import SPLITS, Continued, build_task


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twenty files; every six bytes say which file and where in it."""
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "texts"
    root.mkdir()
    for i in range(20):
        (root / f"{i:02d}.txt").write_text("".join(f"{i:02d}:{j:02d} " for j in range(60 + i)))
    return root


def text(folder, **knobs):
    return build_task("text", **{"corpus": f"folder:{folder}", "length": 40, "vocab": 270, **knobs})


def said(task, batch):
    """What each row's inputs and last target say."""
    rows = torch.cat((batch.inputs, batch.targets[:, -1:]), 1)
    return [task.opened_tokenizer.decode(row.tolist()).decode() for row in rows]


@pytest.mark.parametrize("tokenizer", ["bytes", "bpe"])
@pytest.mark.parametrize("split", SPLITS)
def test_windows_lie_inside_one_document_of_their_split(folder, split, tokenizer):
    task = text(folder, tokenizer=tokenizer)
    documents = task.tokens(split)
    contents = [task.opened_tokenizer.decode(documents[i]).decode() for i in range(len(documents))]
    for index in range(4):
        batch = task.batch(split, index, 16, 0)
        assert batch.inputs.shape == batch.targets.shape == (16, 40) and batch.inputs.max() < task.vocab_size
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        for window in said(task, batch):
            assert sum(window in content for content in contents) == 1


def test_splits_share_no_document(folder):
    task = text(folder, tokenizer="bytes")
    names = [set(task.tokens(split).names) for split in SPLITS]
    assert sum(map(len, names)) == len(set.union(*names)) == 20
    first = {
        split: {document_of(row.encode()) for i in range(9) for row in said(task, task.batch(split, i, 8, 0))}
        for split in SPLITS
    }
    assert not any(
        first[a] & first[b] for a, b in (("train", "test"), ("train", "validation"), ("validation", "test"))
    )


def test_a_document_in_two_splits_is_refused(folder, monkeypatch):
    from hmlcore.tasks import text as module

    opened = module.open_corpus(f"folder:{folder}")
    leaky = {split: opened.split("train" if split == "test" else split) for split in SPLITS}
    monkeypatch.setattr(opened, "split", leaky.__getitem__)
    monkeypatch.setattr(module, "open_corpus", lambda *_: opened)
    with pytest.raises(HmlcoreError, match=r"document '\d\d.txt' is in the train and the test split"):
        text(folder).batch("train", 0, 1, 0)


def test_a_stream_goes_on_where_it_was_and_says_where_documents_begin(folder):
    task = text(folder, tokenizer="bytes", order="stream")
    before, fresh = None, 0
    for index in range(60):
        batch = task.batch("train", index, 4, 5)
        assert isinstance(batch, Continued)
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        for row in range(4):
            read = bytes(batch.inputs[row].tolist())
            if batch.fresh[row]:
                fresh += 1
                assert read[2:6] == b":00 "  # the first words of a document
            else:
                # The very next byte, in the same document.
                assert batch.inputs[row, 0] == before.targets[row, -1]
                assert document_of(read) == document_of(bytes(before.inputs[row].tolist()))
        before = batch
    assert 20 < fresh < 240


def document_of(read):
    """The number of the file that these bytes are from: two digits before a colon."""
    at = read.index(b":", 2)
    return read[at - 2 : at]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("order", ["windows", "stream"])
def test_places_say_where_in_the_split_each_row_begins(folder, split, order):
    task = text(folder, order=order)
    everything = torch.cat([torch.from_numpy(task.tokens(split)[i]) for i in range(len(task.tokens(split)))])
    for index in (0, 5):
        batch = task.batch(split, index, 4, 1)
        for row, place in zip(batch.inputs, task.places(split, index, 4, 1), strict=True):
            assert torch.equal(row, everything[place : place + 40].long())


def test_only_training_streams(folder):
    task, plain = text(folder, order="stream"), text(folder)
    for split in ("validation", "test"):
        for one, other in zip(task.batch(split, 1, 4, 0), plain.batch(split, 1, 4, 0), strict=True):
            assert torch.equal(one, other)
    assert not isinstance(task.batch("test", 0, 4, 0), Continued)


def test_a_batch_is_a_function_of_its_arguments(folder):
    for order in ("windows", "stream"):
        task = text(folder, order=order)
        late = task.batch("train", 7, 4, 1)
        again = pickle.loads(pickle.dumps(text(folder, order=order)))
        assert all(torch.equal(a, b) for a, b in zip(late, again.batch("train", 7, 4, 1), strict=True))
        assert not torch.equal(late.inputs, task.batch("train", 7, 4, 2).inputs)
        assert not torch.equal(late.inputs, task.batch("train", 8, 4, 1).inputs)


def test_tokenizers_agree_on_bits_per_byte(folder):
    """A model that knows nothing pays log₂ of the vocabulary for each token; per byte that is what it is."""
    for tokenizer in ("bytes", "bpe"):
        task = text(folder, tokenizer=tokenizer)
        tokens = torch.from_numpy(task.tokens("test").cut(0, 0, 10_000))
        size = int(task.token_bytes[tokens].sum())
        content = (folder / task.tokens("test").names[0]).read_bytes()
        assert size == len(content)
        bits = len(tokens) * math.log2(task.vocab_size) / size
        assert bits == 8 if tokenizer == "bytes" else bits < 8


def test_provenance_names_corpus_and_tokenizer(folder):
    task = text(folder)
    assert task.conditions() == {"corpus": "folder:texts", "tokenizer": "bpe", "context": 40}
    found = task.provenance()
    assert found["data_version"] == f"20 text files; bpe 270 {task.opened_tokenizer.sha256[:16]}"
    assert len(found["data_sha256"]) == 64 and str(folder.parent) not in str(found)
    assert text(folder, tokenizer="bytes").provenance()["data_version"] == "20 text files; bytes"


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"vocab": 256}, "vocab must be at least 257, got 256"),
        ({"tokenizer": "words"}, "unknown tokenizer 'words'; known: bpe, bytes"),
        ({"order": "random"}, "unknown order 'random'; known: stream, windows"),
        ({"corpus": 3}, "corpus must be a text, got 3"),
        ({"books": 5}, "books=5 applies to corpus 'pg19' only, not to 'folder:"),
        ({"corpus": "pg19", "books": 0}, "books must be at least 1, got 0"),
    ],
)
def test_refusals(folder, knobs, message):
    with pytest.raises(HmlcoreError, match=f"^{message}"):
        text(folder, **knobs)


def test_refusals_when_read(folder):
    with pytest.raises(
        HmlcoreError, match=r"length=5000 needs a document of at least 5001 tokens; the longest"
    ):
        text(folder, length=5000).batch("test", 0, 1, 0)
    with pytest.raises(HmlcoreError, match=r"batch_size=17 is more than the documents of at least 41 tokens"):
        text(folder, order="stream").batch("train", 0, 17, 0)
    with pytest.raises(HmlcoreError, match="unknown split 'dev'"):
        text(folder).tokens("dev")
