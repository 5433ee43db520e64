"""Notebooks: pairs in sync, no outputs, the same two parameters, and chapters made from them."""

import ast
from pathlib import Path

import jupytext
import nbformat
import pytest
from jupytext.compare import compare_notebooks

from hmlcore import book

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.py"))


def tagged(notebook, tag: str) -> list:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_every_notebook_is_a_pair_and_a_chapter():
    assert NAMES
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES
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
