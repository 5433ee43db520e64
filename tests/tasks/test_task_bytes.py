"""Byte windows: where they start, what they hold, what they never cross."""

import numpy as np
import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import SPLITS, build_task
from hmlcore.tasks.bytes import Windows
from hmlcore.tasks.documents import Documents


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


def documents_of_sizes(*sizes):
    return Documents.of([(str(i), bytes([65 + i]) * size) for i, size in enumerate(sizes)])


def test_training_starts_are_uniform_over_all_positions():
    # Length 4: sizes 10, 4, 7 and 5 leave 6, 0, 3 and 1 starts.
    windows = Windows(documents_of_sizes(10, 4, 7, 5), 4)
    starts = windows.uniform(np.random.default_rng(0), 20_000)
    possible = [0, 1, 2, 3, 4, 5, 14, 15, 16, 21]
    places, counts = np.unique(starts, return_counts=True)
    assert places.tolist() == possible
    assert np.abs(counts / 20_000 - 0.1).max() < 4 * np.sqrt(0.09 / 20_000)


def test_held_out_windows_by_hand():
    # Length 3: a document of n bytes holds (n − 1) // 3 tiles, so 10, 3, 5, 7 bytes hold 3, 0, 1, 2.
    windows = Windows(documents_of_sizes(10, 3, 5, 7), 3)
    assert sorted(windows.spread(0, 6).tolist()) == [0, 3, 6, 13, 18, 21]
    # Six tiles, golden stride 4 → 5 (coprime): the walk is 0, 5, 4, 3, 2, 1.
    assert windows.spread(0, 6).tolist() == [0, 21, 18, 13, 6, 3]
    assert windows.spread(4, 2).tolist() == [6, 3]
    # Second lap: shifted by ⌊3 · 0.618⌋ = 1, held back where the document ends (6 + 1 in ten bytes,
    # 13 + 1 in five, 21 + 1 in seven).
    assert windows.spread(6, 6).tolist() == [1, 21, 19, 14, 6, 4]


def test_held_out_targets_do_not_repeat_and_every_prefix_is_spread():
    sizes = [5000, 300, 12_001, 777]
    windows = Windows(documents_of_sizes(*sizes), 100)
    tiles = sum((size - 1) // 100 for size in sizes)
    starts = windows.spread(0, tiles)
    targets = (starts[:, None] + 1 + np.arange(100)).flatten()
    assert len(np.unique(targets)) == tiles * 100
    order = np.argsort(np.argsort(starts))  # the tile each step visits, numbered along the text
    for count in (8, 30, 90):
        gaps = np.diff(np.sort(order[:count]), append=tiles + order[:count].min())
        assert gaps.max() <= 3 * tiles / count


def test_a_single_window_can_be_all_there_is():
    windows = Windows(documents_of_sizes(9, 2), 8)
    assert set(windows.uniform(np.random.default_rng(0), 50)) == {0}
    assert windows.spread(0, 3).tolist() == [0, 0, 0]


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
        ({"length": 0}, "length must be an integer of at least 1, not 0"),
        ({"corpus": 3}, "corpus must be a name or a folder, not 3"),
        ({"corpus": "pg20"}, "unknown corpus 'pg20'; known: folder:<path>, pg19, stdlib"),
        ({"corpus": "folder:no/such"}, "corpus 'folder:no/such': 'no/such' is not a folder"),
        ({"books": 5}, "books=5 applies to corpus 'pg19' only, not to 'stdlib'"),
        ({"corpus": "pg19", "books": 0}, "books must be an integer of at least 1, not 0"),
    ],
)
def test_refusals(knobs, message):
    with pytest.raises(HmlcoreError) as error:
        build_task("bytes", **knobs)
    assert str(error.value) == message
