"""PG-19 from a data folder, from the hub (stood in for by local files), and from nowhere."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import SPLITS, build_task, documents, hub, pg19


def book(title, size=400):
    return (f"{title}. “Œuvre”\n" * size)[:size]


BOOKS = {
    "train-00": [book("first"), book("second", 300)],
    "train-01": [book("third", 350)],
    "validation": [book("validation book")],
    "test": [book("test book"), book("another test book")],
}


def write_shard(folder, name, texts):
    records = [
        {"id": f"{name}-{i}", "title": "t", "author": "a", "year": 1900, "text": t} for i, t in enumerate(texts)
    ]
    with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HMLCORE_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "data" / "pg19"
    folder.mkdir(parents=True)
    for name, texts in BOOKS.items():
        write_shard(folder, name, texts)
    monkeypatch.setenv("HMLCORE_DATA", str(folder.parent))
    return folder


def read(split, **knobs):
    return build_task("bytes", corpus="pg19", length=64, **knobs).documents(split)


def test_books_are_read_in_order_and_whole(folder):
    for split, shards in {
        "train": ["train-00", "train-01"],
        "validation": ["validation"],
        "test": ["test"],
    }.items():
        found = read(split)
        expected = [text.encode() for shard in shards for text in BOOKS[shard]]
        assert [found.content(i) for i in range(len(found))] == expected
    assert read("train").names == ("train-00-0", "train-00-1", "train-01-0")
    batch = build_task("bytes", corpus="pg19", length=64).batch("test", 0, 4, 0)
    assert all(any(bytes(row.tolist()) in t.encode() for t in BOOKS["test"]) for row in batch.inputs)


def test_books_keeps_the_first_training_books_only(folder):
    two = read("train", books=2)
    assert two.names == ("train-00-0", "train-00-1") and len(two) == len(two.digests) == 2
    assert two.data.tobytes() == "".join(BOOKS["train-00"]).encode()
    assert two.offsets.tolist() == [0, len(two.content(0)), len(two.data)]
    assert read("test", books=1).names == ("test-0", "test-1")
    some, every = (build_task("bytes", corpus="pg19", books=n).provenance() for n in (2, None))
    assert some["data_sha256"] != every["data_sha256"]
    with pytest.raises(HmlcoreError, match="books=4, but corpus 'pg19' has 3 training books"):
        read("train", books=4)


def test_provenance_says_subset(folder):
    provenance = build_task("bytes", corpus="pg19").provenance()
    assert provenance["corpus"] == "pg19" and provenance["data_version"] == "subset of PG-19"


def test_the_second_opening_reads_the_cache(folder, monkeypatch):
    first = {split: read(split) for split in SPLITS}

    def refuse(sources):
        raise AssertionError("decoded again")

    monkeypatch.setattr(pg19, "_records", refuse)
    for split in SPLITS:
        again = read(split)
        assert again.data.tobytes() == first[split].data.tobytes()
        assert (again.names, again.digests) == (first[split].names, first[split].digests)
        assert again.offsets.tolist() == first[split].offsets.tolist()
    write_shard(folder, "validation", [book("another validation book")])
    with pytest.raises(AssertionError, match="decoded again"):
        read("validation")


@pytest.mark.parametrize("name", ["train-*", "validation", "test"])
def test_a_missing_file_is_named(folder, name):
    for path in folder.glob(f"{name}.jsonl.gz"):
        path.unlink()
    with pytest.raises(HmlcoreError) as error:
        read("train")
    message = str(error.value)
    assert message.startswith(f"HMLCORE_DATA={folder.parent} lacks pg19/{name}.jsonl.gz. ")
    assert "Either set HMLCORE_DATA" in message and "deepmind/pg19" in message


def test_a_data_folder_without_pg19_names_all_three(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_DATA", str(tmp_path))
    with pytest.raises(
        HmlcoreError, match=r"lacks pg19/train-\*\.jsonl\.gz, pg19/validation\.jsonl\.gz, pg19/test"
    ):
        read("test")


def damage_gzip(path):
    path.write_bytes(path.read_bytes()[:-20])


def damage_magic(path):
    path.write_bytes(b"not gzip at all")


def damage_json(path):
    path.write_bytes(gzip.compress(b'{"text": "fi'))


def damage_field(path):
    path.write_bytes(gzip.compress(b'{"txt": "fine"}\n'))


def damage_type(path):
    path.write_bytes(gzip.compress(b'["text"]\n'))


@pytest.mark.parametrize("damage", [damage_gzip, damage_magic, damage_json, damage_field, damage_type])
def test_a_damaged_file_is_named_and_leaves_nothing_behind(folder, tmp_path, damage):
    damage(folder / "test.jsonl.gz")
    with pytest.raises(HmlcoreError, match=r"test\.jsonl\.gz is damaged at line [12]: "):
        read("test")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_file_without_books_is_named(folder):
    (folder / "test.jsonl.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(HmlcoreError, match=r"test\.jsonl\.gz holds no book"):
        read("test")


@pytest.mark.parametrize("at", [3, -150, -45, -35, -1], ids=["text", "names", "digests", "size", "hash"])
def test_a_cache_that_was_changed_is_made_again_and_is_what_results_say(folder, tmp_path, at, capsys):
    """Batches and `data_sha256` are of one text, the one in HMLCORE_DATA, whatever stands in the cache."""
    task = build_task("bytes", corpus="pg19", length=64)
    wanted, said = task.batch("train", 0, 8, 0).inputs, task.provenance()
    for file in (tmp_path / "cache" / "corpora").iterdir():
        content = bytearray(file.read_bytes())
        content[at] ^= 1
        file.write_bytes(content)
    again = build_task("bytes", corpus="pg19", length=64)
    assert torch.equal(again.batch("train", 0, 8, 0).inputs, wanted) and again.provenance() == said
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(
        "is damaged (its hash is another); it is made again" in line for line in lines
    )


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HmlcoreError, match=f"cannot write {tmp_path / 'file'}/key.kept: "):
        documents.cached(tmp_path / "file", "key", lambda: [("a", b"first")])


def test_neither_data_nor_hub_is_one_clear_error():
    with pytest.raises(HmlcoreError) as error:
        build_task("bytes", corpus="pg19").batch("train", 0, 1, 0)
    message = str(error.value)
    assert message.count("\n") == 0
    for part in ("corpus 'pg19' is not here", "HMLCORE_DATA is not set", "HF_HUB_OFFLINE is set"):
        assert part in message
    assert (
        "Either set HMLCORE_DATA to a folder that has pg19/train-*.jsonl.gz, pg19/validation.jsonl.gz"
        in message
    )
    assert "or unset it and let this machine reach huggingface.co" in message


def test_an_unreachable_hub_is_the_same_error(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        HmlcoreError, match=r"downloading deepmind/pg19 failed \(URLError: .*Either set HMLCORE_DATA"
    ):
        read("test")


def test_hub_books_come_through_datasets(tmp_path, monkeypatch):
    """The real `datasets` reads the files; only the two servers are stood in for by folders."""
    server = tmp_path / "server"
    (server / "train").mkdir(parents=True)
    texts = {"train/9.txt": "nine\n\nlines “and” more", "train/10.txt": "ten", "train/11.txt": "eleven"}
    for name, text in texts.items():
        (server / name).write_text(text, encoding="utf-8")
    (server / "train_files.txt").write_text("train/9.txt\ntrain/10.txt\ntrain/11.txt\n")
    asked = []

    def hf_hub_download(repository, filename, repo_type, revision):
        asked.append((repository, filename, repo_type, revision))
        return str(server / Path(filename).name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    monkeypatch.setattr(pg19, "BOOKS_URL", f"{server}/")
    monkeypatch.setattr(hub, "require_hub", lambda: None)

    two = read("train", books=2)
    assert asked == [("deepmind/pg19", "data/train_files.txt", "dataset", pg19.REVISION)]
    assert two.names == ("train/10.txt", "train/11.txt")
    assert [two.content(i).decode() for i in range(2)] == ["ten", "eleven"]
    assert read("train").content(2).decode() == texts["train/9.txt"]
    with pytest.raises(HmlcoreError, match="books=7, but corpus 'pg19' has 3 training books"):
        read("train", books=7)

    # What was fetched once is read without a hub.
    monkeypatch.undo()
    monkeypatch.delenv("HMLCORE_DATA", raising=False)
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
        assert read("train", books=2).names == two.names
