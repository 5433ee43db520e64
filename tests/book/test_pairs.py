"""Notebooks: pairs in sync, no outputs, the same two parameters, and chapters made from them."""

import ast
import os
import shutil
import subprocess
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupytext.compare import compare_notebooks

from hmlcore import book
from hmlcore.errors import HmlcoreError
from hmlcore.files import listed
from hmlcore.manifest import Manifest
from hmlcore.pairs import sync_pairs

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted(path.stem for path in listed(NOTEBOOKS, "*.py"))


def tagged(notebook, tag: str) -> list:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_every_notebook_is_a_pair_and_a_chapter():
    assert NAMES
    assert sorted(path.stem for path in listed(NOTEBOOKS, "*.ipynb")) == NAMES
    assert sorted(book.chapter_names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_pair_is_in_sync(name):
    script, notebook = jupytext.read(NOTEBOOKS / f"{name}.py"), jupytext.read(NOTEBOOKS / f"{name}.ipynb")
    compare_notebooks(notebook, script, fmt="py:percent", compare_ids=False)
    for ours, theirs in zip(script.cells, notebook.cells, strict=True):
        assert ours.metadata == theirs.metadata, ours.source


@pytest.mark.parametrize("name", NAMES)
def test_notebook_holds_no_outputs(name):
    for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None, cell.source


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_profile_and_run_missing(name):
    (cell,) = tagged(jupytext.read(NOTEBOOKS / f"{name}.py"), "parameters")
    assigned = [node.targets[0].id for node in ast.parse(cell.source).body if isinstance(node, ast.Assign)]
    assert assigned == ["profile", "run_missing"]


@pytest.mark.parametrize("name", NAMES)
def test_committed_chapter_was_made_from_this_notebook(name):
    executed = nbformat.read(ROOT / "book" / "chapters" / f"{name}.ipynb", as_version=4)
    (injected,) = tagged(executed, "injected-parameters")
    assert "remove-cell" in injected.metadata.tags
    kept = [cell.source for cell in executed.cells if cell is not injected]
    assert kept == [c.source for c in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells], (
        f"{name}.ipynb has changed since it was executed: make chapters"
    )
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
    assert not [o for c in executed.cells for o in c.get("outputs", []) if o.output_type == "error"]


SCRIPT = "# %% [markdown]\n# First sentence.\n\n# %%\n1 + 1\n\n# %%\n2 + 2\n"


class Pair:
    """A committed script and its notebook, in a repository of their own."""

    def __init__(self, root: Path):
        self.folder, self.made = root / "notebooks", Manifest(root / "_build" / "pairs")
        self.folder.mkdir()
        self.script, self.notebook = self.folder / "one.py", self.folder / "one.ipynb"
        shutil.copy(NOTEBOOKS / "jupytext.toml", self.folder)
        self.script.write_text(SCRIPT)
        assert self.sync() == [self.notebook]
        self.git("init", "-q"), self.git("add", "-A"), self.git("commit", "-qm", "all")

    def git(self, *arguments: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", "-c", "user.name=a", "-c", "user.email=a", *arguments]
        subprocess.run(command, cwd=self.folder, env=clean, check=True, capture_output=True)

    def sync(self) -> list[Path]:
        return sync_pairs(self.folder, self.made)

    def edit_script(self, old: str, new: str) -> None:
        text = self.script.read_text()
        assert old in text
        self.script.write_text(text.replace(old, new))

    def edit_notebook(self, old: str, new: str) -> None:
        notebook = nbformat.read(self.notebook, as_version=4)
        assert any(old in cell.source for cell in notebook.cells)
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
        nbformat.write(notebook, self.notebook)

    def refused(self, *shown: str) -> None:
        before = self.script.read_bytes(), self.notebook.read_bytes()
        with pytest.raises(HmlcoreError, match=r"one.ipynb was edited and one.py has other cells") as refusal:
            self.sync()
        assert all(text in str(refusal.value) for text in shown), refusal.value
        assert (self.script.read_bytes(), self.notebook.read_bytes()) == before


@pytest.fixture
def pair(tmp_path):
    return Pair(tmp_path)


@pytest.mark.parametrize("later", ["one.py", "one.ipynb"])
def test_an_edited_script_wins_whatever_the_times_are(pair, later):
    """A checkout or a stash makes the other file the newer one."""
    ids = [cell.id for cell in nbformat.read(pair.notebook, as_version=4).cells]
    pair.edit_script("First sentence.", "Another sentence.")
    os.utime(pair.folder / later, (2e9, 2e9))
    assert pair.sync() == [pair.notebook] and pair.sync() == []
    assert "Another sentence." in pair.script.read_text()
    cells = nbformat.read(pair.notebook, as_version=4).cells
    assert cells[0].source == "Another sentence." and [cell.id for cell in cells[1:]] == ids[1:]


def test_a_script_may_be_edited_again_before_it_is_committed(pair):
    for number in range(2, 5):
        pair.edit_script(f"2 + {number}", f"2 + {number + 1}")
        assert pair.sync() == [pair.notebook]


@pytest.mark.parametrize("edited", ["neither", "script", "synced"])
def test_an_edited_notebook_is_never_written_over(pair, edited):
    if edited != "neither":
        pair.edit_script("2 + 2", "2 + 3")
    if edited == "synced":
        pair.sync()
    pair.edit_notebook("1 + 1", "1 + 11")
    pair.refused("'1 + 1'", "'1 + 11'", "jupytext --to")


def test_an_edit_that_only_the_notebook_still_has_is_not_written_over(pair):
    pair.edit_script("1 + 1", "1 + 11")
    pair.sync()
    pair.git("checkout", "--", "one.py")
    pair.refused("'1 + 11'")
    pair.git("checkout", "--", ".")
    assert pair.sync() == []


def test_what_both_have_needs_no_sync_and_no_repository(pair):
    shutil.rmtree(pair.folder / ".git")
    assert pair.sync() == []
    pair.edit_script("2 + 2", "2 + 3"), pair.edit_notebook("2 + 2", "2 + 3")
    assert pair.sync() == []
    pair.made.clean()
    pair.edit_script("2 + 3", "2 + 4")
    pair.refused("'2 + 4'", "'2 + 3'")
    pair.notebook.unlink()
    assert pair.sync() == [pair.notebook]


def test_renewing_the_chapters_syncs_by_content(pair, monkeypatch):
    """`make chapters` is this alone, without `jupytext --sync`, which goes by times."""
    root = pair.folder.parent
    (root / "book").mkdir()
    (root / "pyproject.toml").write_text("[project]\nname = 'hmlcore'\n")
    monkeypatch.setenv("HMLCORE_HOME", str(root))
    monkeypatch.setattr(book, "execute_chapters", lambda _: [])
    pair.edit_script("2 + 2", "2 + 3")
    os.utime(pair.notebook, (2e9, 2e9))
    assert book.commit_chapters() == []
    assert "2 + 3" in pair.notebook.read_text() and "2 + 3" in pair.script.read_text()
    assert "--sync" not in (ROOT / "Makefile").read_text()
