"""What is released: sdist and wheel build, run with only what they ask for, and know their version."""

import importlib.metadata as metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
NAMED = re.search(r"^version: (\S+)", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)[1]


def python(environment, *arguments, code=0, **options):
    """Standard output of an interpreter without our variables; its errors, where `code` is not 0."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HMLCORE", "PIP"))}
    command = [str(environment), *map(str, arguments)]
    done = subprocess.run(
        command, env=clean | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, **options
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist of the tracked files, and the wheel that is built from it, as an index would have them."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    names = [
        "pyproject.toml",
        "setup.py",
        "MANIFEST.in",
        "CITATION.cff",
        "CHANGELOG.md",
        "README.md",
        "LICENSE",
    ]
    source.mkdir()
    for name in names:
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignored)
    build = "from setuptools import build_meta as b; import sys; print(b.build_sdist(sys.argv[1]))"
    said = python(sys.executable, "-c", build, folder, cwd=source)
    sdist = folder / said.splitlines()[-1]
    with tarfile.open(sdist) as file:
        file.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    said = python(sys.executable, "-c", build.replace("sdist", "wheel"), folder, cwd=unpacked)
    return sdist, folder / said.splitlines()[-1]


def needed(name, found=None):
    """The installed distributions that a bare `name` brings with it."""
    found = {} if found is None else found
    for line in metadata.requires(name) or []:
        asked = Requirement(line)
        key = canonicalize_name(asked.name)
        if key in found or (asked.marker and not asked.marker.evaluate({"extra": ""})):
            continue
        found[key] = metadata.distribution(asked.name)
        needed(asked.name, found)
    return found


@pytest.fixture(scope="module")
def empty(built, tmp_path_factory):
    """An interpreter that has the wheel and what it asks for, without any extra: links to what is here."""
    folder = tmp_path_factory.mktemp("empty")
    python(sys.executable, "-m", "venv", "--without-pip", folder)
    (site,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(built[1]) as wheel:
        wheel.extractall(site)
    for distribution in needed("hmlcore").values():
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(distribution.locate_file(top)))
    return folder / "bin" / "python"


@pytest.mark.slow
def test_the_wheel_holds_what_the_package_reads(built):
    with zipfile.ZipFile(built[1]) as wheel:
        held = set(wheel.namelist())
    tracked = subprocess.run(
        ["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    expected = {name.removeprefix("src/") for name in tracked} or {"hmlcore/__init__.py"}
    assert expected - held == set() and "hmlcore/py.typed" in held
    assert not any(name.startswith(("tests", "hmlcore/tests")) for name in held)
    assert built[0].name.startswith(f"hmlcore-{NAMED}") and Version(NAMED) > Version("0")


@pytest.mark.slow
def test_the_layer_trains_where_nothing_else_is_installed(empty, tmp_path):
    """In two lines, in the place of an LSTM."""
    code = """
import torch
from torch import nn
from hmlcore import HML

for make in (lambda: nn.LSTM(16, 16, batch_first=True), lambda: HML(16)):
    torch.manual_seed(0)
    layer = make()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.03)
    x = torch.randn(4, 12, 16)
    losses = []
    for _ in range(20):
        y, state = layer(x)
        losses.append((y[:, 1:] - x[:, :-1]).square().mean())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0], losses
    y, state = layer(x, state)
"""
    python(empty, "-c", code, cwd=tmp_path)


@pytest.mark.slow
def test_the_command_line_works_where_nothing_else_is_installed(empty, tmp_path):
    said = python(empty, "-m", "hmlcore", "doctor", cwd=tmp_path)
    assert "all self-checks passed" in said and re.search(r"^  jupytext +absent", said, re.MULTILINE)
    assert re.search(rf"^hmlcore   {re.escape(NAMED)}", said)
    assert "copy" in python(empty, "-m", "hmlcore", "list", cwd=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} <= {"hmlcore-work"}
    for arguments, advice in {
        ("-m", "hmlcore", "book"): "pip install hmlcore[book]",
        ("-m", "hmlcore", "run", "copy", "--log", "tensorboard"): "pip install hmlcore[log]",
    }.items():
        (line,) = python(empty, *arguments, code=2, cwd=tmp_path).splitlines()
        assert line.startswith("hml: ") and line.endswith(advice)
    error = python(empty, "-c", "import hmlcore.models.hf", code=1, cwd=tmp_path)
    assert error.strip().endswith("pip install hmlcore[hf]")


def test_importing_and_asking_for_help_take_no_time():
    """Half a second and one second of processor time, and no torch."""
    code = "import sys, time, hmlcore.{}; {}; assert 'torch' not in sys.modules; print(time.process_time())"
    for module, then, most in (
        ("errors", "hmlcore.__version__", 0.5),
        ("cli", "hmlcore.cli._parser().format_help()", 1),
    ):
        done = subprocess.run([sys.executable, "-c", code.format(module, then)], capture_output=True, text=True)
        assert done.returncode == 0 and float(done.stdout) < most, done.stdout + done.stderr


@pytest.fixture
def checkout(tmp_path):
    """A repository with one commit, and how to run Git in it."""
    for name in ("setup.py", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)

    def git(*arguments):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a", *arguments]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)

    git("init", "-q"), git("add", "-A"), git("commit", "-qm", "all")
    return tmp_path, git


def versioned(folder, code=0):
    return python(
        sys.executable, "-c", "import setup; print(setup.version(setup.ROOT))", code=code, cwd=folder
    ).strip()


def test_the_version_is_that_of_the_tag(checkout):
    folder, git = checkout
    assert re.fullmatch(rf"{NAMED}\.dev1\+g[0-9a-f]+", versioned(folder))
    git("tag", f"v{NAMED}")
    assert versioned(folder) == NAMED
    with (folder / "CITATION.cff").open("a") as file:
        file.write("\n")
    assert re.fullmatch(rf"{NAMED}\.post0\+g\w+\.changed", versioned(folder))
    git("commit", "-qam", "later")
    after = versioned(folder)
    assert re.fullmatch(rf"{NAMED}\.post1\+g\w+", after) and Version(after) > Version(NAMED)
    git("tag", "v99.0")
    assert versioned(folder, code=1).startswith("hmlcore: the tag v99.0 is checked out, and CITATION.cff says")


def test_without_git_the_version_is_said(checkout):
    folder, _ = checkout
    shutil.rmtree(folder / ".git")
    assert versioned(folder) == f"{NAMED}.dev0"
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: hmlcore\nVersion: 7.1\n")
    assert versioned(folder) == "7.1"
