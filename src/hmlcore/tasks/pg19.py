"""PG-19: books from Project Gutenberg published before 1919 (Rae et al. 2019, arXiv 1911.05507).

With ``HMLCORE_DATA`` set, the books are read from its ``pg19`` folder: gzip JSON lines with a ``text``
field, any subset of PG-19. Otherwise the official books are downloaded once. The hub's `deepmind/pg19`
holds only a loading script, which `datasets` no longer runs, and the lists of files that script read:
so the lists come from the hub at a pinned revision, and `datasets` reads the books they name.
"""

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from hmlcore import paths
from hmlcore.errors import HmlcoreError
from hmlcore.tasks.documents import Corpus, Documents, cached
from hmlcore.tasks.hub import downloading
from hmlcore.tasks.records import checked, damaged, lines, records, shown

REPOSITORY = "deepmind/pg19"
REVISION = "4d28bd77e66947ad3835cf78ed7aaeb4dd87ad8b"
BOOKS_URL = "https://storage.googleapis.com/deepmind-gutenberg/"

_FILES = {"train": "train-*.jsonl.gz", "validation": "validation.jsonl.gz", "test": "test.jsonl.gz"}
_LAYOUT = 1  # of the cached form; part of its key
_TWO_WAYS = (
    "Either set HMLCORE_DATA to a folder that has "
    + ", ".join(f"pg19/{name}" for name in _FILES.values())
    + f' (JSON lines with a "text" field), or unset it and let this machine reach huggingface.co and '
    f"storage.googleapis.com once, to download {REPOSITORY}."
)


def open_pg19(books: int | None = None) -> Corpus:
    """PG-19 with all training books, or only the first `books`; validation and test are always whole.

    A document is a book. Decoded text is kept under ``paths.cache()``, so opening again is quick.

    Raises :class:`~hmlcore.errors.HmlcoreError` where there is neither a data folder nor a hub, where
    the folder lacks a file or holds a damaged one, and for more `books` than there are.
    """
    data = paths.data()
    if data is None:
        return Corpus("pg19", f"{REPOSITORY}@{REVISION}", functools.partial(_from_hub, books=books))
    folder = data / "pg19"
    files = {split: sorted(folder.glob(pattern)) for split, pattern in _FILES.items()}
    missing = [f"pg19/{_FILES[split]}" for split, found in files.items() if not found]
    if missing:
        raise HmlcoreError(f"HMLCORE_DATA={shown(data)} lacks {', '.join(missing)}. {_TWO_WAYS}")

    def read(split: str) -> Documents:
        sources = files[split]
        key = _key("folder", split, *map(_file_digest, sources))
        documents = cached(paths.cache() / "corpora", key, lambda: _records(sources))
        return _limited(documents, books) if split == "train" else documents

    return Corpus("pg19", "subset of PG-19", read)


def titles(split: str) -> dict[str, str]:
    """Name → title of a split's books, where the records of ``HMLCORE_DATA`` have titles; the hub has none."""
    data = paths.data()
    files = sorted((data / "pg19").glob(_FILES[split])) if data is not None else []
    every = (record for file in files for _, record in records(file))
    return {
        str(record["id"]): str(record["title"]) for record in every if record.get("title") and "id" in record
    }


def _limited(documents: Documents, books: int | None) -> Documents:
    if books is not None and books > len(documents):
        raise HmlcoreError(f"books={books}, but corpus 'pg19' has {len(documents)} training books")
    return documents if books is None else documents.first(books)


def _key(*parts: object) -> str:
    return "pg19-" + hashlib.sha256(json.dumps([_LAYOUT, *parts]).encode()).hexdigest()[:24]


def _file_digest(path: Path) -> str:
    status = checked(path)
    try:
        return _digest_of(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise HmlcoreError(f"cannot read {shown(path)}: {error.strerror}") from error


@functools.lru_cache(maxsize=64)
def _digest_of(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _records(sources: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    for source in sources:
        found = 0
        for number, record in records(source):
            text = record.get("text")
            if not isinstance(text, str):
                raise damaged(source, number, 'it must be gzip JSON lines with a "text" field')
            if text:
                found += 1
                yield str(record.get("id", f"{source.name}:{number}")), text.encode()
        if not found:
            raise HmlcoreError(f"{shown(source)} holds no book")


def _from_hub(split: str, books: int | None) -> Documents:
    wanted = books if split == "train" else None
    key = _key("hub", REVISION, split, wanted)
    return cached(paths.cache() / "corpora", key, lambda: _download(split, wanted))


def _download(split: str, books: int | None) -> Iterator[tuple[str, bytes]]:
    with downloading("corpus 'pg19' is", REPOSITORY, _TWO_WAYS):
        names, rows = _open_hub(split, books)
        rows = tqdm(rows, f"PG-19 {split}", len(names), disable=None, unit="book")
        for name, row in zip(names, rows, strict=True):
            yield name, row["text"].encode()


def _open_hub(split: str, books: int | None):
    """The names of a split's books, sorted, and an iterable of their rows in the same order."""
    from datasets import load_dataset
    from huggingface_hub import hf_hub_download

    listing = hf_hub_download(REPOSITORY, f"data/{split}_files.txt", repo_type="dataset", revision=REVISION)
    names = sorted(name for _, name in lines(Path(listing)))
    if books is not None and books > len(names):
        raise HmlcoreError(f"books={books}, but corpus 'pg19' has {len(names)} training books")
    names = names[:books]
    urls = [BOOKS_URL + name for name in names]
    rows = load_dataset("text", data_files={split: urls}, split=split, sample_by="document", streaming=True)
    return names, rows
