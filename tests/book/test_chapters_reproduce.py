"""Strict nbval: every printed output and every plotted value of the executed chapters comes out again."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from awaited import AWAITED

from hmlcore import book
from hmlcore.notebooks import normalise, own_kernel
from hmlcore.results import Store
from hmlcore.studies.export import export_all, figures

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PLOTLY = "application/vnd.plotly.v1+json"


def nbval(*notebooks: Path, **environment: str) -> subprocess.CompletedProcess:
    """Execute notebooks again and compare all outputs with the stored ones."""
    options = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(ROOT / "tests/book/nbval.cfg")]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *map(str, notebooks)]
    with own_kernel():
        return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


def failed_cells(run: subprocess.CompletedProcess) -> set[int]:
    """Numbers of the code cells that differed, from pytest's short summary."""
    return {int(n) for n in re.findall(r"^FAILED .*::Cell (\d+)", run.stdout, re.MULTILINE)}


@pytest.mark.parametrize("name", book.chapter_names())
def test_committed_chapter_reproduces(name):
    chapter = ROOT / "book" / "chapters" / f"{name}.ipynb"
    assert chapter.is_file(), f"{name} is not among the committed chapters: make chapters"
    run = nbval(chapter)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


def test_smoke_chapters_reproduce(smoke_book):
    run = nbval(*smoke_book.chapters, HMLCORE_RESULTS=str(smoke_book.results))
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


def change_a_printed_digit(cell) -> bool:
    for output in cell.outputs:
        texts = output if output.output_type == "stream" else output.get("data", {})
        key = "text" if output.output_type == "stream" else "text/plain"
        if PLOTLY not in texts and re.search(r"\d", texts.get(key, "")):
            texts[key] = re.sub(r"\d", lambda m: str((int(m[0]) + 1) % 10), texts[key], count=1)
            return True
    return False


def change_a_plotted_value(cell) -> bool:
    for output in cell.outputs:
        for trace in output.get("data", {}).get(PLOTLY, {}).get("data", []):
            values = trace.get("y")
            if isinstance(values, list) and values and isinstance(values[-1], int | float):
                values[-1] += 0.001
                return True
    return False


def test_nbval_catches_a_tampered_number_and_a_tampered_figure(smoke_book, tmp_path):
    chapter = nbformat.read(smoke_book.chapters[0], as_version=4)
    code = [cell for cell in chapter.cells if cell.cell_type == "code"]
    tampered = set()
    for change in (change_a_printed_digit, change_a_plotted_value):
        for number, cell in enumerate(code):
            compared = "nbval-ignore-output" not in cell.metadata.get("tags", [])
            if compared and number not in tampered and change(cell):
                tampered.add(number)
                break
        else:
            pytest.fail(f"no output of the chapter lets itself be tampered with by {change.__name__}")
    copy = tmp_path / "tampered.ipynb"
    nbformat.write(chapter, copy)
    run = nbval(copy, HMLCORE_RESULTS=str(smoke_book.results))
    assert failed_cells(run) == tampered, run.stdout[-6000:]


def test_chapters_made_twice_are_the_same_bytes(smoke_book):
    """A committed chapter changes only when what it shows does."""
    chapter = smoke_book.chapters[0]
    made, again = nbformat.read(chapter, as_version=4), normalise(nbformat.read(chapter, as_version=4))
    del made.metadata["hmlcore"]  # where it was executed
    assert json.loads(nbformat.writes(again)) == json.loads(nbformat.writes(made))


def test_every_page_says_where_its_cells_were_executed(smoke_book):
    for chapter in smoke_book.chapters:
        kept = nbformat.read(chapter, as_version=4).metadata["hmlcore"]
        page = (smoke_book.html / "book" / "chapters" / f"{chapter.stem}.html").read_text("utf-8")
        (line,) = re.findall(r'<p class="hml-origin">(.*?)</p>', page)
        assert f"torch {kept['torch']}" in line and kept["commit"][:12] in line, line


def test_committed_figures_and_numbers_are_those_of_the_store(tmp_path):
    """What pages outside the chapters show was drawn from the results that are committed beside it."""
    committed = ROOT / "results" / "laptop"
    drawn = export_all(Store(ROOT / "results"), "laptop", tmp_path, images=False)
    missing = sorted(name for name, figure in figures().items() if figure.experiment in AWAITED)
    assert sorted(notice.split(":")[0] for notice in drawn.notices) == [f"figure {name}" for name in missing]
    for path in drawn.files:
        stored = committed / path.relative_to(tmp_path)
        assert stored.is_file(), f"{stored} is missing: make figures"
        assert stored.read_bytes() == path.read_bytes(), f"{stored} is out of date: make figures"
