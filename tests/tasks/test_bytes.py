"""Byte windows: where they start, what they hold, what they never cross."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import SPLITS, build_task
from hmlcore.tasks.corpora import NAMES


@pytest.fixture
def folder(tmp_path):
    """Twenty files; every six bytes say which file and where in it."""
    root = tmp_path / "texts"
    root.mkdir()
    for i in range(20):
        (root / f"{i:02d}.txt").write_text("".join(f"{i:02d}:{j:02d} " for j in range(20 + i)))
    return root


def windows_of(batch):
    """Inputs and the last target together: the bytes a window was cut from."""
    return [bytes(x.tolist() + y[-1:].tolist()) for x, y in zip(*batch, strict=True)]


@pytest.mark.parametrize("split", SPLITS)
def test_windows_lie_inside_one_document_and_targets_are_the_next_bytes(folder, split):
    task = build_task("bytes", corpus=f"folder:{folder}", length=50)
    documents = task.documents(split)
    contents = [documents.content(i) for i in range(len(documents))]
    for index in range(4):
        batch = task.batch(split, index, 16, 0)
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        for window in windows_of(batch):
            assert len(window) == 51
            assert sum(window in content for content in contents) == 1


def test_conditions_and_provenance_of_a_folder(folder):
    task = build_task("bytes", corpus=str(folder), length=50)
    assert task.conditions() == {"corpus": "folder:texts", "context": 50}
    before = task.provenance()
    assert before["corpus"] == "folder:texts" and before["data_version"] == "20 text files"
    assert str(folder.parent) not in str(before)
    (folder / "07.txt").write_text("07 changed " * 20)
    after = build_task("bytes", corpus=str(folder), length=50).provenance()
    assert len(before["data_sha256"]) == 64 and before["data_sha256"] != after["data_sha256"]


def test_length_that_no_document_holds(folder):
    task = build_task("bytes", corpus=str(folder), length=500)
    said = r"length=500 needs a document of at least 501 bytes; the longest in the train split of corpus "
    with pytest.raises(HmlcoreError, match=said + r"'folder:texts', '\d\d.txt', has \d+$"):
        task.batch("train", 0, 1, 0)
    assert build_task("bytes", corpus=str(folder), length=50).batch("train", 0, 1, 0).inputs.shape == (1, 50)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"corpus": 3}, "corpus must be a text, got 3"),
        ({"corpus": "pg20"}, f"unknown corpus 'pg20'; known: {', '.join(sorted(NAMES))}"),
        ({"corpus": "folder:no/such"}, "corpus 'folder:no/such': 'no/such' is not a folder"),
        ({"books": 5}, "books=5 applies to corpus 'pg19' only, not to 'stdlib'"),
        ({"corpus": "pg19", "books": 0}, "books must be at least 1, got 0"),
    ],
)
def test_refusals(knobs, message):
    with pytest.raises(HmlcoreError) as error:
        build_task("bytes", **knobs)
    assert str(error.value) == message
