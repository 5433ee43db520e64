"""Names that begin with a dot are not ours: a Mac's leftovers (``._x`` beside ``x``), an editor's, a sync's.

Each place that looks for files is asked before and after some lie there; for stored runs, in ``test_store.py``.
"""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hmlcore
from hmlcore import book, paths
from hmlcore.keys import files_below
from hmlcore.results import Store
from hmlcore.runner import catalogue
from hmlcore.tasks import corpora
from hmlcore.tasks.corpora import open_corpus

ROOT = paths.root()
JUNK = b"\x00\x05\x16\x07Mac OS X\xff"


def corpus(name):
    return open_corpus(name).sha256


def folder(at):
    """A corpus of one's own texts."""
    for number in range(4):
        (at / "at").mkdir(exist_ok=True)
        (at / "at" / f"{number}.txt").write_text(f"text {number}\n" * 50)
    return at / "at", lambda: corpus(f"folder:{at / 'at'}")


def books(at):
    """PG-19 in the folder of data sets."""
    (at / "pg19").mkdir()
    for name in ("train-0", "validation", "test"):
        with gzip.open(at / "pg19" / f"{name}.jsonl.gz", "wt") as file:
            file.write(json.dumps({"id": name, "text": name * 100}) + "\n")
    return at / "pg19", lambda: corpus("pg19")


def modules(at):
    """The standard library's, or what stands for it."""
    for number in range(60):
        (at / f"m{number}.py").write_text(f"a{number} = {number}\n" * 50)
    return at, lambda: sorted(name for name, _ in corpora._sources(at))


def sources(at):
    """What the catalogue depends on; an editor's lock is a link to nowhere."""
    study = at / "counting"
    study.mkdir()
    (study / "grid.py").write_text("")
    (study / ".#grid.py").symlink_to("somebody@somewhere")
    return study, catalogue._sources


def staged(at):
    """The sources of the book."""
    shutil.copytree(ROOT / "book", at / "book", ignore=shutil.ignore_patterns("chapters"))
    for name in ("_config.yml", "_toc.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, at)
    stage = at / "stage"

    def names():
        shutil.rmtree(stage, ignore_errors=True)
        book._stage(stage, [], {})
        return sorted(p.relative_to(stage).as_posix() for p in stage.rglob("*"))

    return at / "book", names


def key(at):
    """What a chapter was made from; the loose runs, below a folder of such a name, are ours."""
    (at / "smoke" / ".runs" / "copy").mkdir(parents=True)
    (at / "smoke" / ".runs" / "copy" / "0123456789abcdef.parquet").write_text("")
    assert files_below(at / "smoke", "*.parquet") != []
    return at / "smoke" / ".runs" / "copy", lambda: book._chapter_key(
        Path("x"), at / "smoke", "", at / "main.pdf"
    )


PLACES = {made.__name__: made for made in (folder, books, modules, sources, staged, key)}


@pytest.mark.parametrize("place", PLACES)
def test_what_looks_for_files_does_not_see_them(place, tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HMLCORE_DATA", str(tmp_path))
    monkeypatch.setenv("HMLCORE_HOME", str(tmp_path if place == "staged" else ROOT))
    monkeypatch.setattr(hmlcore.studies, "__path__", [*hmlcore.studies.__path__, str(tmp_path)])
    where, look = PLACES[place](tmp_path)
    before = look()
    for path in [p for p in where.iterdir() if p.is_file() and not p.name.startswith(".")]:
        path.with_name(f"._{path.name}").write_bytes(JUNK)
    (where / ".ipynb_checkpoints").mkdir()
    (where / ".ipynb_checkpoints" / "._index.md").write_bytes(JUNK)
    assert look() == before


def test_a_study_is_no_folder_of_such_a_name(tmp_path):
    for name in ("._counting", ".counting"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "._counting.py").write_bytes(JUNK)
    code = "from hmlcore.studies import studies; print(len(studies()))"
    found = {
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        for env in ({"PATH": ""}, {"PATH": "", "HMLCORE_STUDIES": str(tmp_path)})
    }
    assert len(found) == 1


def test_a_folder_of_a_model_with_one_beside_it(tmp_path):
    hf = pytest.importorskip("hmlcore.models.hf")
    model = hf.HmlForCausalLM(hf.HmlConfig(vocab_size=7, d_model=8, layers=1, mixer="gru"))
    model.save_pretrained(tmp_path)
    (tmp_path / "._model.safetensors").write_bytes(JUNK)
    assert hf.HmlForCausalLM.from_pretrained(tmp_path).num_parameters() == model.num_parameters()


def test_an_empty_store_with_leftovers_is_empty(tmp_path):
    (tmp_path / "laptop").mkdir()
    for name in ("._copy.parquet", ".runs", ".DS_Store"):
        (tmp_path / "laptop" / name).write_bytes(JUNK)
    assert not Store(tmp_path).has_any("laptop", "copy") and Store(tmp_path).summary().empty
