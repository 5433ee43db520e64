"""Papers, code and word problems from the hub, each at a pinned revision, and made-up stand-ins for them.

    arxiv   bodies of papers (Cohan et al. 2018, arXiv 1804.05685): ccdv/arxiv-summarization
    code    Python files of public repositories: codeparrot/codeparrot-clean
    gsm8k   word problems with their solutions (Cobbe et al. 2021, arXiv 2110.14168): openai/gsm8k

Of each split the first documents are read, as many as :data:`DOCUMENTS` says. A split that the source lacks is
taken from its training split: every tenth document to be the test, the one after it validation.

A stand-in, ``standin:<name>``, needs no network: the standard library's source for code, what it says of itself
for papers, and made-up problems. It has their form and none of their contents.
"""

import ast
import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from hmlcore import paths
from hmlcore.errors import unknown
from hmlcore.tasks.base import SPLITS
from hmlcore.tasks.documents import Corpus, Documents, cached
from hmlcore.tasks.hub import downloading

DOCUMENTS = {"train": 2000, "validation": 200, "test": 200}
STANDIN = "standin:"
_LONG = 1000


class Text(NamedTuple):
    """A data set of the hub: where it is, which of its splits it has, and the fields that make a document."""

    repository: str
    revision: str
    config: str | None
    splits: tuple[str, ...]
    fields: tuple[str, ...]


TEXTS = {
    "arxiv": Text(
        "ccdv/arxiv-summarization", "240aaf1a969b3f8cd0ade6986bfad0cd730ee288", "document", SPLITS,
        ("article",),
    ),
    "code": Text(
        "codeparrot/codeparrot-clean", "35a59fb025bc0a102f7d96eac09d145b896d487b", None, ("train",),
        ("content",),
    ),
    "gsm8k": Text(
        "openai/gsm8k", "cc7b047b6e5bb11b4f1af84efc572db110a51b3c", "main", ("train", "test"),
        ("question", "answer"),
    ),
}  # fmt: skip


def open_text(name: str) -> Corpus:
    """The corpus `name` of :data:`TEXTS`, or its stand-in.

    Raises: HmlcoreError for an unknown name, and, when it is read, where the hub is not to be had.
    """
    if name.startswith(STANDIN):
        made = _STANDINS.get(name.removeprefix(STANDIN))
        if made is None:
            raise unknown("stand-in", name.removeprefix(STANDIN), _STANDINS)
        return Corpus(name, "made up", lambda split: Documents.of(list(made(split))))
    if name not in TEXTS:
        raise unknown("corpus of the hub", name, TEXTS)
    text = TEXTS[name]
    return Corpus(name, f"{text.repository}@{text.revision}", functools.partial(_from_hub, name))


def _from_hub(name: str, split: str) -> Documents:
    text = TEXTS[name]
    digest = hashlib.sha256(json.dumps([1, *text, split, DOCUMENTS]).encode()).hexdigest()[:24]
    return cached(paths.cache() / "corpora", f"{name}-{digest}", lambda: _download(name, split))


def _download(name: str, split: str) -> Iterator[tuple[str, bytes]]:
    text = TEXTS[name]
    remedy = f"Let this machine reach huggingface.co once, or use the corpus '{STANDIN}{name}'."
    with downloading(f"corpus {name!r} is", text.repository, remedy):
        from datasets import load_dataset

        own = split if split in text.splits else "train"
        rows = load_dataset(text.repository, text.config, split=own, revision=text.revision, streaming=True)
        yield from chosen(enumerate(rows), split, text)


def chosen(rows: Iterator[tuple[int, Mapping]], split: str, text: Text) -> Iterator[tuple[str, bytes]]:
    """The documents of a split among numbered rows: those that fall to it, the first so many."""
    missing = [name for name in SPLITS if name not in text.splits]
    part = {"test": 0, "validation": 1}
    taken = {part[name] for name in missing}
    wanted = part.get(split) if split in missing else None
    at_home = split in text.splits and split != "train"
    documents = (
        (f"{number}", "\n".join(str(row[field]) for field in text.fields).encode())
        for number, row in rows
        if at_home or (number % 10 == wanted if split in missing else number % 10 not in taken)
    )
    return itertools.islice((found for found in documents if found[1].strip()), DOCUMENTS[split])


def _source(split: str) -> Iterator[tuple[str, bytes]]:
    from hmlcore.tasks.corpora import open_corpus

    documents = open_corpus("stdlib").split(split)
    return ((name, documents.content(i)) for i, name in enumerate(documents.names))


def _sayings(split: str) -> Iterator[tuple[str, bytes]]:
    """What a module says of itself, its classes and functions, where that is long: short words repeat."""
    for name, content in _source(split):
        try:
            nodes = ast.walk(ast.parse(content))
        except (SyntaxError, ValueError):
            continue
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        said = [doc for node in nodes if isinstance(node, kinds) and (doc := ast.get_docstring(node))]
        text = "\n\n".join(said).encode()
        if len(text) > _LONG:
            yield name, text


def _problems(split: str) -> Iterator[tuple[str, bytes]]:
    """Sums in words, another stream of them for every split."""
    rng = np.random.default_rng(SPLITS.index(split))
    names, things = ("Ada", "Ben", "Cleo", "Dan"), ("apples", "stamps", "shells", "books")
    for number in range(DOCUMENTS[split]):
        who, other = rng.choice(names, 2, replace=False)
        what, (a, b, c) = rng.choice(things), rng.integers(2, 50, 3)
        total = a + b * c
        asked = f"{who} has {a} {what} and gets {b} bags of {c} from {other}. How many {what} has {who} now?"
        worked = f"In the bags are {b} * {c} = {b * c} {what}.\nTogether {a} + {b * c} = {total}.\n#### {total}"
        yield f"{split}-{number}", f"{asked}\n{worked}".encode()


_STANDINS = {"arxiv": _sayings, "code": _source, "gsm8k": _problems}
