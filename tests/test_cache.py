"""Kept files: given back as they were written, or made again, with one line that says so."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from hmlcore.cache import cached_file
from hmlcore.errors import HmlcoreError
from hmlcore.runner import catalogue

PARTS = [b"first ", b"", bytes(range(256)) * 20]


def read(path):
    """What is kept there, made of PARTS if need be, and how often it had to be made."""
    made = []
    found = cached_file(path, lambda: made.append(1) or PARTS)
    assert found.tobytes() == b"".join(PARTS)
    return len(made)


@pytest.fixture
def file(tmp_path):
    assert read(tmp_path / "a" / "x.kept") == 1
    return tmp_path / "a" / "x.kept"


def test_what_is_kept_is_mapped_and_made_once(file, capsys):
    assert read(file) == 0
    found = cached_file(file, None)
    assert found.dtype == np.uint8 and not found.flags.owndata and not found.flags.writeable
    assert capsys.readouterr().err == ""


def test_every_flip_and_every_cut_is_seen_and_said_in_one_line(file, capsys):
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for number in range(60):
        at = int(rng.integers(1, len(whole)))
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(changed if number % 4 else whole[:at])
        assert read(file) == 1 and file.read_bytes() == whole
        assert capsys.readouterr().err == f"hml: {file} is damaged (its hash is another); it is made again\n"
    file.write_bytes(b"")
    assert read(file) == 1 and "is damaged (cannot mmap an empty file)" in capsys.readouterr().err


def test_a_file_in_the_place_of_another_is_no_better(file, tmp_path, capsys):
    for other in (file.with_name("y.kept"), tmp_path / "b" / "x.kept"):
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(file.read_bytes())
        assert read(other) == 1 and f"{other} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_opened(file, capsys, make):
    file.unlink()
    make(file)
    with pytest.raises(HmlcoreError, match=f"cannot write {file}: a folder or device of that name is there"):
        read(file)
    assert capsys.readouterr().err == f"hml: {file} is damaged (it is no file); it is made again\n"


def test_a_disk_that_gives_back_something_else_is_refused(file, monkeypatch):
    monkeypatch.setattr("hmlcore.cache._opened", lambda path: None)
    with pytest.raises(HmlcoreError, match=f"{file} reads otherwise than it was written"):
        read(file)


def test_opening_fifty_megabytes_takes_little(tmp_path):
    """Processor time, as others want the cores too: 0.05 s where SHA-256 is in hardware."""
    large = tmp_path / "large.kept"
    cached_file(large, lambda: [bytes(2**20)] * 50)
    before = time.process_time()
    assert len(cached_file(large, None)) == 50 * 2**20
    assert time.process_time() - before < 0.3


def test_a_catalogue_that_was_changed_is_made_again(tmp_path, monkeypatch, capsys):
    made = catalogue.Catalogue({"gru": "A unit"}, {}, {"smoke": {"copy": ["0123"]}})
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(catalogue, "_made", lambda _sources: made)
    for change in (lambda text: text, lambda text: text.replace(b"0123", b"4567"), lambda text: b"{}"):
        assert catalogue.catalogue() == made
        (file,) = tmp_path.glob("catalogue-*.kept")
        file.write_bytes(change(file.read_bytes()))
    assert catalogue.catalogue() == made
    said = capsys.readouterr().err.splitlines()
    assert said == [f"hml: {file} is damaged (its hash is another); it is made again"] * 2
    file.unlink()
    file.mkdir()  # what cannot be written is made every time
    assert catalogue.catalogue() == made
