"""Files that others wrote, as every task that reads them meets them: one clear error, or what they say."""

import gzip
import json
import os
import re
import socket
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.tasks import build_task, records

READERS = {
    "imdb": lambda: build_task("imdb", held_out=1).batch("test", 0, 2, 0),
    "pg19": lambda: build_task("bytes", corpus="pg19", length=4).documents("test"),
    "titles": lambda: build_task("text", corpus="pg19", length=4).titles("test"),
}
LINES = [json.dumps({"id": f"b{i}", "title": "t", "text": f"{i}: a text, é", "label": i % 2}) for i in range(4)]


@pytest.fixture(params=READERS)
def place(request, tmp_path, monkeypatch):
    """(read, file): a reader, and the file of its test split."""
    monkeypatch.setenv("HMLCORE_DATA", str(tmp_path))
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / ("imdb" if request.param == "imdb" else "pg19")
    folder.mkdir()
    for name in ("train", "train-0", "validation", "test"):
        text = "\n".join(LINES)
        (folder / f"{name}.jsonl.gz").write_bytes(
            packed(text if name == "test" else text.replace("a text", name))
        )
    file = folder / "test.jsonl.gz"
    return READERS[request.param], file


def packed(text):
    return gzip.compress(text if isinstance(text, bytes) else text.encode(), 1)


def outcome(result):
    """What a reader gave, comparable."""
    if hasattr(result, "inputs"):
        return result.inputs.tolist(), result.labels.tolist()
    return result if isinstance(result, dict) else (result.names, result.digests)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text + "\n",
        lambda text: text + "\n\n \r\n",
        lambda text: "\n\n" + text,
        lambda text: text.replace("\n", "\n\n\t\n"),
        lambda text: text.replace("\n", "\r\n") + "\r\n",
        lambda text: "\ufeff" + text,
        lambda text: "\ufeff\r\n" + text,
        lambda text: "\ufeff" + text.replace("\n", "\r\n\ufeff") + "\n\ufeff",  # files with marks, end to end
    ],
    ids=["end", "ends", "start", "between", "CRLF", "BOM", "BOM, CRLF", "all"],
)
def test_blank_lines_line_ends_and_byte_order_marks_mean_nothing(place, edit):
    read, file = place
    wanted = outcome(read())
    file.write_bytes(packed(edit("\n".join(LINES))))
    assert outcome(read()) == wanted


@pytest.mark.parametrize(
    ("third", "why"),
    [
        (r'{"text": "half of \ud83d", "label": 1}', r"'text' holds half of a character, U\+D83D"),
        (r'{"text": "x", "label": 1, "id": "\udc80"}', r"'id' holds half of a character, U\+DC80"),
        (r'{"text": "x", "label": 1, "title": "\udfff"}', r"'title' holds half of a character, U\+DFFF"),
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
        ('{"text": "x", "label": 1, "more": ' + '{"a":' * 9999 + "1" + "}" * 9999 + "}", "nested too deep"),
        ('["text"]', "it is no object"),
        ('{"text": "x"', "Expecting ',' delimiter"),
        ('{"text": "x", "label": 1, "id": ' + "9" * 5000 + "}", "Exceeds the limit"),
        (b'{"text": "caf\xe9", "label": 1}', "not UTF-8"),
        ("\n".join(LINES).encode("utf-16"), "not UTF-8"),
        ('{"text": "' + "x" * 4000 + '", "label": 1}', "longer than 3,000 bytes"),
        ("\0", "Expecting value"),
    ],
    ids=["text", "id", "title", "list", "deep", "array", "cut", "number", "latin-1", "utf-16", "long", "zero"],
)
def test_a_line_that_is_wrong_is_named(place, third, why, monkeypatch):
    read, file = place
    # The second line is blank: the line that is named is the one that an editor shows.
    before, after = f"{LINES[0]}\n\n".encode(), f"\n{LINES[2]}\n{LINES[3]}".encode()
    file.write_bytes(packed(before + (third if isinstance(third, bytes) else third.encode()) + after))
    if "longer" in why:
        monkeypatch.setattr(records, "LONGEST", 3000)
    with pytest.raises(HmlcoreError, match=why) as error:
        read()
    message = str(error.value)
    assert f"{file} is damaged at line 3: " in message and "\n" not in message and len(message) < 1500


def test_a_line_of_gigabytes_is_refused_before_it_is_in_memory(place, monkeypatch):
    """64 MB of it are packed into 64 kB; no more than the limit is ever unpacked."""
    read, file = place
    monkeypatch.setattr(records, "LONGEST", 10_000)
    file.write_bytes(packed(b"\0" * 2**26))
    tracemalloc.start()
    try:
        with pytest.raises(HmlcoreError, match="is damaged at line 1: it is longer than 10,000 bytes"):
            read()
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("where", ["packed", "text"])
def test_whatever_is_flipped_is_one_line_or_harmless(tmp_path, where):
    file, rng = tmp_path / "x.jsonl.gz", np.random.default_rng(0)
    text = "\n".join(LINES).encode()
    wanted = [*enumerate(map(json.loads, LINES), 1)]
    for _ in range(300):
        changed = bytearray(packed(text) if where == "packed" else text)
        changed[rng.integers(len(changed))] = rng.integers(256)
        file.write_bytes(changed if where == "packed" else packed(bytes(changed)))
        try:
            found = [*records.records(file)]
        except HmlcoreError as error:
            assert str(error).startswith(f"{file} is damaged at line ") and "\n" not in str(error)
        else:
            assert found == wanted if where == "packed" else len(found) == 4


def device(path):
    path.symlink_to("/dev/zero")


def silent(path):
    os.mkfifo(path)


def connection(path):
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(path.parent, os.O_RDONLY)  # names of sockets are short
        server.bind(f"/proc/self/fd/{here}/{path.name}")
        os.close(here)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (device, "a device"),
        (silent, "a pipe"),
        (connection, "a socket"),
        (Path.mkdir, "a folder"),
    ],
)
def test_what_is_no_regular_file_is_not_opened(place, make, kind):
    read, file = place
    file.unlink()
    make(file)
    with pytest.raises(HmlcoreError, match=f"^{re.escape(str(file))} is {kind}, not a file"):
        read()


def test_a_link_to_a_file_is_followed(place, tmp_path):
    read, file = place
    wanted = outcome(read())
    file.rename(tmp_path / "elsewhere.gz")
    file.symlink_to(tmp_path / "elsewhere.gz")
    assert outcome(read()) == wanted


@pytest.mark.parametrize(
    "content",
    [b"not gzip", packed("\n".join(LINES))[:-12], packed("{}\n")[:-5], packed("\n") + b"more"],
    ids=["foreign", "cut", "without its sum", "with more behind"],
)
def test_a_file_that_is_no_gzip_is_named(place, content):
    read, file = place
    file.write_bytes(content)
    with pytest.raises(HmlcoreError, match=re.escape(f"{file} is damaged at line ")):
        read()


def test_a_shard_whose_name_is_no_text_is_shown_by_its_bytes(place):
    _, file = place
    if file.parent.name == "imdb":
        return  # has two files, of fixed names
    other = Path(os.fsdecode(os.fsencode(file.parent) + b"/train-caf\xe9.jsonl.gz"))
    other.write_bytes(packed('{"text": "a book without a name"}'))
    task = build_task("bytes", corpus="pg19", length=4)
    assert "train-caf\\xe9.jsonl.gz:1" in task.documents("train").names
    other.write_bytes(packed("{"))
    with pytest.raises(HmlcoreError, match=r"train-caf\\xe9.jsonl.gz is damaged at line 1"):
        build_task("bytes", corpus="pg19", length=4).documents("train")
