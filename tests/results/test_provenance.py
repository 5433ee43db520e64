"""Provenance: versions and source revision, with and without Git."""

import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from importlib import metadata

import pytest

from hmlcore.results import collect_provenance
from hmlcore.results.provenance import git_revision

COST = {
    "steps": 10,
    "parameters": 20,
    "state_floats": 3,
    "state_bytes": 12,
    "flops_per_token": 40,
    "wall_s": 2,
    "tokens_per_s": 100,
}
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder, *args):
    name = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *name, *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path):
    """A repository with a package in src/ and a committed result."""
    (tmp_path / "src").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "src" / "code.py").write_text("a = 1\n")
    (tmp_path / "results" / "old.parquet").write_text("old")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_collect():
    east = datetime(2026, 1, 1, 3, 0, tzinfo=timezone(timedelta(hours=3)))
    made = collect_provenance("cpu", **COST, started_at=east, data_version="v1")
    assert made.started_at == "2026-01-01T00:00:00+00:00"
    assert made.python == sys.version.split()[0]
    assert made.torch == metadata.version("torch")
    assert (made.device, made.parameters, made.state_bytes, made.data_version) == ("cpu", 20, 12, "v1")


def test_collect_imports_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from hmlcore.results import collect_provenance\n"
        f"print(collect_provenance('cpu', **{COST!r}).torch)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == metadata.version("torch")


@needs_git
def test_results_do_not_make_the_tree_dirty_but_code_does(checkout):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True)
    assert git_revision(checkout / "src", ["results"]) == (head.stdout.strip(), False)
    (checkout / "results" / "new.parquet").write_text("new")
    (checkout / "results" / "old.parquet").write_text("changed")
    assert git_revision(checkout / "src", ["results"])[1] is False
    assert git_revision(checkout / "src", [str(checkout / "results")])[1] is False
    assert git_revision(checkout / "src", [])[1] is True
    (checkout / "src" / "code.py").write_text("a = 2\n")
    assert git_revision(checkout / "src", ["results"])[1] is True


@needs_git
def test_untracked_code_is_dirty(checkout):
    (checkout / "src" / "more.py").write_text("")
    assert git_revision(checkout / "src", ["results"])[1] is True


@needs_git
@pytest.mark.parametrize("change", ["untracked", "untracked data", "changed", "nothing"])
def test_neither_a_hook_nor_the_users_settings_have_a_say(checkout, tmp_path_factory, monkeypatch, change):
    """Variables that hooks set point to another repository; settings hide files from a status."""
    wanted, home = git_revision(checkout / "src", ["results"]), tmp_path_factory.mktemp("home")
    settings = [
        "[status]\nshowUntrackedFiles = no",
        f"[core]\nexcludesFile = {home}/ignored\nquotePath = false",
    ]
    (home / ".gitconfig").write_text("\n".join(settings))
    (home / "ignored").write_text("*.py\n")
    git(home, "init", "-q")
    for name, value in {
        "HOME": home, "XDG_CONFIG_HOME": home, "GIT_DIR": home / ".git", "GIT_INDEX_FILE": home / "missing",
        "GIT_WORK_TREE": home, "GIT_CONFIG_COUNT": "one",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    if change != "nothing":
        name = {"untracked": "m\u00f6re.py", "untracked data": "rates.json", "changed": "code.py"}[change]
        (checkout / "src" / name).write_text("a = 2\n")
    assert wanted[0] != "unknown" and wanted[1] is False
    assert git_revision(checkout / "src", ["results"]) == (wanted[0], change != "nothing")


@needs_git
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only a superuser gives files away")
def test_a_checkout_of_somebody_else_answers(checkout):
    wanted = git_revision(checkout / "src", ["results"])
    os.chown(checkout, 12345, 12345)
    os.chown(checkout / ".git", 12345, 12345)
    assert git_revision(checkout / "src", ["results"]) == wanted
    (checkout / "src" / "code.py").write_text("a = 2\n")
    assert git_revision(checkout / "src", ["results"]) == (wanted[0], True)


@needs_git
def test_ignored_source_is_dirty_and_other_ignored_files_are_not(checkout):
    (checkout / ".git" / "info").mkdir(exist_ok=True)
    (checkout / ".git" / "info" / "exclude").write_text("patch.py\n*.pyc\n")
    (checkout / "src" / "code.pyc").write_text("")
    (checkout / "patch.py").write_text("")  # outside of what runs
    assert git_revision(checkout / "src", ["results"])[1] is False
    (checkout / "src" / "patch.py").write_text("")
    assert git_revision(checkout / "src", ["results"])[1] is True


@needs_git
@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_a_file_that_git_is_told_not_to_look_at_is_unknown(checkout, flag):
    git(checkout, "update-index", flag, "src/code.py")
    commit, dirty = git_revision(checkout / "src", ["results"])
    assert len(commit) == 40 and dirty is None
    (checkout / "src" / "code.py").unlink()  # as in a sparse checkout
    if flag == "--skip-worktree":
        assert git_revision(checkout / "src", ["results"])[1] is False


@needs_git
@pytest.mark.parametrize("damage", ["index", "HEAD"])
def test_a_broken_checkout_is_never_clean(checkout, damage):
    (checkout / ".git" / damage).write_text("broken")
    assert git_revision(checkout / "src", ["results"]) == ("unknown", None)


@needs_git
def test_package_that_an_enclosing_checkout_does_not_track(checkout):
    installed = checkout / "site-packages" / "hmlcore"
    installed.mkdir(parents=True)
    assert git_revision(installed, []) == ("unknown", None)


@needs_git
def test_checkout_without_a_commit(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("")
    git(tmp_path, "add", ".")
    assert git_revision(tmp_path, []) == ("unknown", None)


def test_no_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision(tmp_path, []) == ("unknown", None)


def test_no_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_revision(tmp_path, []) == ("unknown", None)
