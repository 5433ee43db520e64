"""One way of writing a file, used by all that write one: whole or not at all, and cleaned up after the dead."""

import ast
import errno
import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from made_up import long_run

import hmlcore
from hmlcore import files
from hmlcore.errors import HmlcoreError
from hmlcore.files import listed, write_file, write_files
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.models.saved import save_model
from hmlcore.results import Store
from hmlcore.results.pack import pack
from hmlcore.tasks import build_task
from hmlcore.tasks.documents import cached
from hmlcore.training.checkpoint import write_checkpoint

PACKAGE = Path(hmlcore.__file__).parent


def model(folder, size):
    save_model(folder / "m", Backbone(BackboneConfig(7, "gru", d_model=4 * size, layers=1, d_ff=8)))


def packed(folder, size):
    store = Store(folder)
    store.write(long_run(seed=size))
    pack(store, "smoke")


def expressions(folder, size):
    sizes = {
        "max_length": 300,
        "min_length": 20,
        "max_depth": 4,
        "training_examples": 40 + size,
        "held_out": 20,
    }
    build_task("listops", **sizes).provenance()


# What writes → where it writes first, and how, given a folder and a number.
WRITERS = {
    "model": ("m", model),
    "checkpoint": ("c", lambda at, size: write_checkpoint(at / "c", {"x": torch.ones(400 * size)}, {}, "r")),
    "run": (".runs/copy", lambda at, size: Store(at / "..").write(long_run(seed=size, profile=at.name))),
    "packed": ("smoke/copy.parquet", packed),
    "figures": ("f.json", lambda at, size: write_files(at, {"f.json": "1" * 2000 * size})),
    "corpus": ("k1.kept", lambda at, size: cached(at, f"k{size}", lambda: [("a", bytes(2000))])),
    "expressions": ("listops", expressions),
}


@pytest.fixture(params=WRITERS)
def writer(request, tmp_path, monkeypatch):
    """The place that a writer writes to, and what has it write there."""
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path / "at"))
    path, write = WRITERS[request.param]
    before = os.umask(0o022)
    yield tmp_path / "at" / path, lambda size: write(tmp_path / "at", size)
    os.umask(before)


def below(path):
    """File → content, of a file or a folder."""
    return {p: p.read_bytes() for p in ([path] if path.is_file() else path.rglob("*"))}


def test_every_file_has_the_mode_that_the_umask_says(writer):
    path, write = writer
    write(1)
    assert {stat.S_IMODE(p.stat().st_mode) for p in below(path)} == {0o644}
    os.umask(0o077)
    write(2)
    path = path if path.is_dir() or path.name != "k1.kept" else path.with_name("k2.kept")
    assert 0o600 in {stat.S_IMODE(p.stat().st_mode) for p in below(path)}


def test_a_disk_that_is_full_leaves_what_was_there(writer):
    path, write = writer
    write(1)
    kept, (_, most) = below(path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, most))
    try:
        with pytest.raises(HmlcoreError, match=r"cannot write .*: File too large$"):
            write(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert kept and below(path) == kept and not list(path.parent.glob(".*.tmp"))
    write(2)


@pytest.mark.parametrize("call", [(os, "fsync"), (Path, "replace")], ids=["fsync", "replace"])
@pytest.mark.parametrize(
    ("failure", "error"),
    [(OSError(errno.ENOSPC, "it is full"), HmlcoreError), (KeyboardInterrupt(), KeyboardInterrupt)],
    ids=["full", "interrupted"],
)
def test_a_write_that_ends_at_its_last_step_leaves_what_was_there(call, failure, error, tmp_path, monkeypatch):
    def end(*_):
        raise failure

    write_file(tmp_path / "file", "old")
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(*call, end)
        write_file(tmp_path / "file", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


KILLED = """
import os, signal, sys
from pathlib import Path
from hmlcore.files import write_file
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
write_file(Path(sys.argv[1]), lambda file: (file.write(b"half"), file.flush(), die()))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The name of what a killed writer leaves behind."""
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, "-c", KILLED, str(folder / "file")], check=False)
    (stray,) = folder.iterdir()
    assert stray.read_bytes() == b"half" and stray.name.startswith(".") and listed(folder) == []
    return stray.name


def test_the_next_writer_cleans_up_after_one_that_was_killed(writer, killed):
    path, write = writer
    write(1)
    folder = path if path.is_dir() else path.parent
    foreign = [folder / ".file.tmp", folder / ".hml-notes.tmp", folder / "tmp1.tmp"]
    for stray in (folder / killed, *foreign):
        stray.write_bytes(b"half")
    write(2)
    assert not (folder / killed).exists() and all(stray.exists() for stray in foreign)


def test_what_a_live_writer_is_at_stays_and_what_another_machine_left_goes_after_a_day(tmp_path, killed):
    def nested(file):
        write_file(tmp_path / "inner", "2")
        thread = threading.Thread(target=write_file, args=(tmp_path / "beside", "3"))
        thread.start()
        thread.join()
        file.write(b"1")

    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    alive = tmp_path / f".hml-{files._HOST}-{child.pid}-{'0' * 8}-0.tmp"
    # A process that had this one's number, as in a container that was started again.
    former = tmp_path / f".hml-{files._HOST}-{os.getpid()}-{'0' * 8}-0.tmp"
    elsewhere = [tmp_path / f".hml-elsewhere-1-{'0' * 8}-{number}.tmp" for number in range(2)]
    for stray in (alive, former, *elsewhere):
        stray.write_text("half")
    os.utime(elsewhere[0], (0, 0))
    write_file(tmp_path / "outer", nested)
    assert sorted(p.name for p in listed(tmp_path)) == ["beside", "inner", "outer"]
    assert (tmp_path / "outer").read_text() == "1"
    assert set(tmp_path.glob(".*")) == {alive, elsewhere[1]}
    child.communicate(b"\n")
    write_file(tmp_path / "outer", "again")
    assert set(tmp_path.glob(".*")) == {elsewhere[1]}


def test_a_link_is_written_through_and_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "disk").mkdir()
    link, folder, loop = tmp_path / "link", tmp_path / "folder", tmp_path / "loop"
    link.symlink_to("disk/real")
    loop.symlink_to("loop")
    folder.mkdir()
    for content in ("first", "second"):
        write_file(link, content)
        assert link.is_symlink() and (tmp_path / "disk" / "real").read_text() == content
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "lost").symlink_to("nowhere/file")
    for path in (folder, loop, tmp_path / "pipe", tmp_path / "lost", link / "below"):
        with pytest.raises(HmlcoreError, match=f"cannot write the thing {path}: "):
            write_file(path, "x", "thing")
    assert loop.is_symlink() and not list(tmp_path.glob(".*")) and not (tmp_path / "nowhere").exists()


def test_write_protected_files_stay(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    path.write_text("kept")
    monkeypatch.setattr(os, "access", lambda *_: False)  # a superuser may all
    with pytest.raises(HmlcoreError, match="write-protected"):
        write_file(path, "x")
    assert path.read_text() == "kept"


WRITES = {"write_text", "write_bytes", "mkstemp", "NamedTemporaryFile", "copyfile", "save_file", "to_parquet"}


def written_by(path):
    """The calls of a module that write a file, by name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            modes = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            opened = node.func.attr == "open" and any(set(mode) & set("wx") and len(mode) < 4 for mode in modes)
            if opened or node.func.attr in WRITES:
                yield path.relative_to(PACKAGE).as_posix(), node.func.attr


def test_nothing_else_writes_files():
    """But a switch of the system, and claims, which are held open."""
    found = {call for path in listed(PACKAGE, "**/*.py") for call in written_by(path)}
    assert found == {
        ("files.py", "open"), ("training/monitor.py", "write_text"), ("results/claims.py", "open"),
    }  # fmt: skip
