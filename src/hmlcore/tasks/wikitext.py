"""WikiText-2: articles of Wikipedia in words and signs, rare words masked (Merity et al., arXiv 1609.07843).

With ``HMLCORE_DATA`` set, its ``wikitext2`` folder is read: ``valid.txt.gz``, ``test.txt.gz`` and, where it is
there, ``train.txt.gz``. Without the last the training split is the books of PG-19 in the same folder, and
results say so: a model that was trained on books and is tested on Wikipedia is compared with no published
perplexity. Without ``HMLCORE_DATA`` all three come from the hub, at a pinned revision, through `datasets`.
"""

import functools
import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hmlcore import paths
from hmlcore.errors import HmlcoreError, require
from hmlcore.tasks.documents import Corpus, Documents, cached
from hmlcore.tasks.hub import downloading
from hmlcore.tasks.pg19 import open_pg19
from hmlcore.tasks.records import checked, content, damaged, shown

REPOSITORY = "Salesforce/wikitext"
CONFIGURATION = "wikitext-2-v1"
REVISION = "b08601e04326c79dfdd32d625aee71d232d685c3"
_FILES = {"train": "train.txt.gz", "validation": "valid.txt.gz", "test": "test.txt.gz"}
_LAYOUT = 1  # of the cached form; part of its key
_TWO_WAYS = (
    "Either set HMLCORE_DATA to a folder that has wikitext2/valid.txt.gz and wikitext2/test.txt.gz (and "
    "wikitext2/train.txt.gz, or the books of pg19 to train on), or unset it and let this machine reach "
    f"huggingface.co once, to download {REPOSITORY}."
)


def open_wikitext() -> Corpus:
    """WikiText-2, a document an article; its training split, or books in its place where that is not there.

    Raises: HmlcoreError where there is neither a data folder nor a hub, where the folder lacks a file or holds
        a damaged one.
    """
    data = paths.data()
    if data is None:
        version = f"{REPOSITORY} {CONFIGURATION}@{REVISION}"
        return Corpus("wikitext2", version, _from_hub)
    folder = data / "wikitext2"
    missing = [f"wikitext2/{_FILES[s]}" for s in ("validation", "test") if not (folder / _FILES[s]).is_file()]
    if missing:
        raise HmlcoreError(f"HMLCORE_DATA={shown(data)} lacks {', '.join(missing)}. {_TWO_WAYS}")
    if (folder / _FILES["train"]).is_file():
        return Corpus("wikitext2", CONFIGURATION, functools.partial(_from_folder, folder))
    books = open_pg19()

    def read(split: str) -> Documents:
        return books.split("train") if split == "train" else _from_folder(folder, split)

    return Corpus("wikitext2", f"{CONFIGURATION}, trained on books: {books.version}", read)


def words_of(text: bytes) -> int:
    """Words and signs of a text as its published perplexities count them: what spaces part, and a sign for the
    end of each line."""
    return sum(len(line.split()) + 1 for line in text.decode().splitlines())


def articles(rows: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """(title, text) of each article: from one heading ``= Title =`` to the next, lines as they are.

    Raises: HmlcoreError where there is no heading.
    """
    title, text = "", []
    for row in rows:
        line = row.strip()
        if line.startswith("= ") and line.endswith(" =") and not line.startswith("= = "):
            if title:
                yield title, "".join(text).encode()
            title, text = line[2:-2], []
        if title:
            text.append(f" {line} \n" if line else " \n")
    require(bool(title), "a split of WikiText-2 holds no article: no line is a heading '= Title ='")
    yield title, "".join(text).encode()


def _key(*parts: str) -> str:
    return "wikitext2-" + hashlib.sha256(repr((_LAYOUT, *parts)).encode()).hexdigest()[:24]


def _named(rows: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Articles under names of their own: two may have one title."""
    for number, (title, text) in enumerate(articles(rows)):
        yield f"{number}: {title}", text


def _from_folder(folder: Path, split: str) -> Documents:
    path = folder / _FILES[split]
    status = checked(path)
    key = _key("folder", split, str(path), str(status.st_size), str(status.st_mtime_ns))
    return cached(paths.cache() / "corpora", key, lambda: _named(_lines(path)))


def _lines(path: Path) -> list[str]:
    """All lines, blank ones too, which are counted as words are."""
    try:
        return gzip.decompress(content(path)).decode().splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise damaged(path, 1, f"it is no gzip of UTF-8 text: {error}") from error


def _from_hub(split: str) -> Documents:
    return cached(paths.cache() / "corpora", _key("hub", REVISION, split), lambda: _download(split))


def _download(split: str) -> Iterator[tuple[str, bytes]]:
    with downloading("corpus 'wikitext2' is", REPOSITORY, _TWO_WAYS):
        from datasets import load_dataset

        rows: Any = load_dataset(REPOSITORY, CONFIGURATION, split=split, revision=REVISION)
        yield from _named(row["text"] for row in rows)
