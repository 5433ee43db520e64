"""WikiText-2 from a data folder with and without a training split, from the hub (stood in), or nowhere."""

import gzip
import json
import sys
from types import SimpleNamespace

import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import build_task, hub
from hmlcore.tasks.wikitext import CONFIGURATION, REPOSITORY, REVISION, articles, open_wikitext, words_of

TEXT = (
    " \n = {0} one = \n \n Some words of {0} , here . \n \n = = A part = = \n \n <unk> @-@ more \n"
    " = {0} two = \n End \n"
)
BOOKS = ["A book of some length, for training.\n" * 9, "Another of them, which is as long.\n" * 9]


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HMLCORE_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "data" / "pg19").mkdir(parents=True)
    (tmp_path / "data" / "wikitext2").mkdir()
    for name, texts in {"train-00": BOOKS, "validation": ["held out"], "test": ["tested"]}.items():
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (tmp_path / "data" / "pg19" / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    for split in ("valid", "test"):
        write(tmp_path / "data" / "wikitext2", split)
    monkeypatch.setenv("HMLCORE_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "wikitext2"


def write(folder, split):
    (folder / f"{split}.txt.gz").write_bytes(gzip.compress(TEXT.format(split).encode()))


def test_a_document_is_an_article_and_no_line_of_it_is_lost(folder):
    found = open_wikitext().split("test")
    assert found.names == ("0: test one", "1: test two")
    assert found.content(0).decode() == TEXT.format("test")[2:].split(" = test two")[0]
    # Headings of four words or signs and six of a part, seven and three and one; and the ends of nine lines.
    assert sum(words_of(found.content(i)) for i in range(2)) == 4 + 7 + 6 + 3 + 4 + 1 + 9


def test_books_stand_in_for_a_training_split_and_results_say_so(folder):
    own = open_wikitext()
    assert own.split("train").content(0).decode() == BOOKS[0]
    assert own.version == f"{CONFIGURATION}, trained on books: subset of PG-19"
    told = build_task("text", corpus="wikitext2", tokenizer="bytes", length=16).provenance()
    assert told["corpus"] == "wikitext2" and "trained on books" in told["data_version"]
    write(folder, "train")
    own = open_wikitext()
    assert own.version == CONFIGURATION and own.split("train").names == ("0: train one", "1: train two")


def test_what_is_missing_or_damaged_is_named_with_the_two_ways(folder):
    (folder / "test.txt.gz").write_bytes(b"no gzip")
    with pytest.raises(HmlcoreError, match=r"test\.txt\.gz"):
        open_wikitext().split("test")
    (folder / "test.txt.gz").write_bytes(gzip.compress(b"no heading\n"))
    with pytest.raises(HmlcoreError, match="holds no article"):
        open_wikitext().split("test")
    (folder / "test.txt.gz").unlink()
    with pytest.raises(HmlcoreError, match=r"lacks wikitext2/test\.txt\.gz\. Either set HMLCORE_DATA"):
        open_wikitext()
    with pytest.raises(HmlcoreError, match="no article"):
        list(articles(["words", ""]))


def test_without_a_folder_the_hub_is_asked_at_its_revision(monkeypatch):
    asked = []

    def load_dataset(*names, **more):
        asked.append((names, more))
        return [{"text": line} for line in TEXT.format(more["split"]).splitlines(keepends=True)]

    with pytest.raises(HmlcoreError, match=f"downloading {REPOSITORY} failed"):
        open_wikitext().split("validation")
    monkeypatch.setattr(hub, "_away", lambda: None)
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    found = open_wikitext().split("validation")
    assert found.names == ("0: validation one", "1: validation two")
    assert asked == [((REPOSITORY, CONFIGURATION), {"split": "validation", "revision": REVISION})]
