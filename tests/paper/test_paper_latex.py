"""The paper by a real LaTeX: its pages, with results and without; what it refuses; and the bundle alone."""

import os
import shutil

import pytest
from made_up_results import fill
from paper_projects import ROOT, SMALL, paper_project

from hmlcore.errors import HmlcoreError
from hmlcore.figures.images import chromium
from hmlcore.paper import build_paper, pack_bundle, review
from hmlcore.results import Store

pytestmark = pytest.mark.skipif(
    shutil.which("latexmk") is None or shutil.which("pdflatex") is None, reason="no LaTeX found"
)
drawn = pytest.mark.skipif(chromium() is None, reason="no Chromium found")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Makes a project with a paper: a small one, or the real one; its store is empty."""
    for name, place in {"HOME": "project", "RESULTS": "results"}.items():
        monkeypatch.setenv(f"HMLCORE_{name}", str(tmp_path / place))
    return lambda source=SMALL, more="": paper_project(tmp_path / "project", source, more)


def test_the_paper_stands_where_nothing_is_measured(project):
    project(source=None)
    folder = build_paper("full").parent
    assert review.in_length((folder / "main.aux").read_text()) == []
    assert "it is not measured yet" in (folder / "generated" / "values.tex").read_text("utf-8")


@drawn
@pytest.mark.slow
def test_the_bundle_of_the_committed_results_compiles_alone(project, monkeypatch):
    project(source=None)
    monkeypatch.setenv("HMLCORE_RESULTS", str(ROOT / "results"))
    assert pack_bundle("laptop").stat().st_size > 10_000


@drawn
@pytest.mark.slow
def test_the_paper_keeps_within_its_pages_when_all_is_measured(project, tmp_path, monkeypatch):
    """By made-up results of every experiment."""
    project(source=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        fill(Store(tmp_path / "results"))
    folder = build_paper("laptop").parent
    made = "".join(path.read_text("utf-8") for path in (folder / "generated").glob("*.tex"))
    assert "ot measured yet" not in made


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (r"\cite{nobody1999}", "unknown citation nobody1999: book/references.bib has no such entry"),
        (r"\ref{fig:nothing}", "undefined reference fig:nothing"),
        (r"\noindent\rule{30cm}{1pt}", "a box sticks out by"),
        (r"\newpage d\newpage e\newpage f\newpage g", "are allowed: shorten or lengthen it"),
        (r"\nothing", "does not compile: ! Undefined control sequence. l."),
        (r"\input{generated/tabel}", "there is no generated/tabel.tex"),
    ],
)
def test_what_latex_finds_is_said(project, more, said):
    project(more=more)
    with pytest.raises(HmlcoreError) as refusal:
        build_paper()
    assert said in str(refusal.value)


def test_what_only_the_build_finds_is_missing_in_the_bundle(project, monkeypatch):
    project()
    every = review.all_read
    monkeypatch.setattr(review, "all_read", lambda folder: [n for n in every(folder) if "values" not in n])
    with pytest.raises(HmlcoreError, match=r"the bundle lacks generated/values\.tex"):
        pack_bundle()
