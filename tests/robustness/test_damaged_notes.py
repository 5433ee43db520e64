"""What was written beside results, models and pages, and damaged since: refused in one line, or made anew."""

import json
from contextlib import suppress

import pytest

from hmlcore import book, keys, manifest, notebooks, pairs, paths
from hmlcore.errors import HmlcoreError
from hmlcore.explorers import models
from hmlcore.manifest import Manifest
from hmlcore.paper import review
from hmlcore.results import Store
from hmlcore.runner import status, tune
from hmlcore.studies import export

DAMAGED = {
    "endless": b"[" * 100_000, "no JSON": b"{", "no text": b'"\xff"', "a list": b"[1]", "a number": b"3",
    "empty": b"", "another": b'{"figures": 1, "results": [2], "claims": 3, "key": 4, "__metadata__": 5}',
}  # fmt: skip


def captions(folder, content):
    (folder / "smoke").mkdir()
    (folder / "smoke" / "sources.json").write_bytes(content)
    return book.captions("smoke")


def drawn(folder, content):
    (folder / "smoke").mkdir()
    (folder / "smoke" / "sources.json").write_bytes(content)
    assert status._drawn(Store(folder), "smoke") == {}


def rules(folder, content):
    (folder / "claims.json").write_bytes(content)
    assert export._stored_rules(folder) == {}


def exports(folder, content):
    (folder / "sources.json").write_bytes(content)
    export._check_free(folder)


def record(folder, content):
    (folder / review.RECORD).parent.mkdir()
    (folder / review.RECORD).write_bytes(content)
    assert not review.is_intact(folder, "key")


def head(folder, content):
    (folder / "m").write_bytes(len(content).to_bytes(8, "little") + content)
    return models.metadata_of(folder / "m"), models.source(folder / "m", "abc")


def spec(folder, content):
    text = json.dumps({"__metadata__": {"extra": content.decode("latin-1")}}).encode()
    (folder / "m").write_bytes(len(text).to_bytes(8, "little") + text)
    return models.spec_of(folder / "m")


def made(folder, content):
    (folder / manifest.LIST).write_bytes(content)
    Manifest(folder).claim("new")


def stamp(folder, content):
    (folder / "stamp").write_bytes(content)
    assert not keys.matches(folder / "stamp", "key")


def synced(folder, content):
    made_here = Manifest(folder)
    made_here.claim("w.key")
    (folder / "w.key").write_bytes(content)
    assert pairs._synced(made_here, folder / "w.ipynb") != "key"


def chapter(folder, content):
    (folder / "w.ipynb").write_bytes(content)
    good = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "new.ipynb").write_text(json.dumps(good))
    assert notebooks.changed(folder / "new.ipynb", folder / "w.ipynb")


def project(folder, content):
    (folder / "pyproject.toml").write_bytes(b"a = " + content)
    assert not paths.is_project(folder)


def rates(folder, content, monkeypatch):
    (folder / "rates.json").write_bytes(content)
    monkeypatch.setattr(tune, "tuned_rates", lambda *_: {"": {}})
    monkeypatch.setattr(tune, "folder_of", lambda _: folder)
    with pytest.raises(HmlcoreError):
        tune.tune(Store(folder), "smoke", "copy")
    assert (folder / "rates.json").read_bytes() == content


PLACES = (captions, drawn, rules, exports, record, head, spec, made, stamp, synced, chapter, project)


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_what_is_damaged_is_one_line_or_nothing(place, kind, tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_RESULTS", str(tmp_path))
    with suppress(HmlcoreError):
        place(tmp_path, DAMAGED[kind])


@pytest.mark.parametrize("kind", [kind for kind in DAMAGED if kind != "endless"])
def test_rates_that_are_none_are_not_written_over(kind, tmp_path, monkeypatch):
    rates(tmp_path, DAMAGED[kind], monkeypatch)
