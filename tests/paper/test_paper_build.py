"""Building the paper where no LaTeX is: what is made, what is refused and how it is said."""

import os
import tarfile

import pytest
from made_up_results import fill_fair
from paper_projects import fake_latexmk, paper_project

from hmlcore import cli
from hmlcore.errors import HmlcoreError
from hmlcore.paper import build_paper, pack_bundle, review
from hmlcore.results import Store


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Makes a project with a small paper, an empty store and a fake latexmk; call it with more of the paper."""
    for name, place in {"HOME": "project", "RESULTS": "results"}.items():
        monkeypatch.setenv(f"HMLCORE_{name}", str(tmp_path / place))
    monkeypatch.setenv("PATH", f"{fake_latexmk(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}")
    return lambda more="": paper_project(tmp_path / "project", more=more)


def generated(root, name):
    return (root / "_build" / "laptop" / "paper" / "generated" / name).read_text("utf-8")


def refusal(make=build_paper):
    with pytest.raises(HmlcoreError) as refused:
        make()
    return str(refused.value)


def test_without_latexmk_and_tectonic_packages_are_named_and_nothing_is_made(project, monkeypatch, capsys):
    root = project()
    monkeypatch.setenv("PATH", str(root / "nothing"))
    assert cli.main(["paper"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for name in ("latexmk", "texlive-latex-recommended", "texlive-bibtex-extra", "tectonic"):
        assert name in line
    assert not (root / "_build").exists()


def test_it_is_built_below_build_and_says_what_is_not_measured(project, capsys):
    root = project()
    assert cli.main(["paper"]) == 0
    pdf = root / "_build" / "laptop" / "paper" / "main.pdf"
    assert capsys.readouterr().out.splitlines()[-1] == str(pdf) and pdf.is_file()
    assert generated(root, "verdicts-fair.tex").count("not measured yet") == 9
    assert r"\emph{Rule}" in generated(root, "rules-fair.tex")
    for name in ("figure-fair_scoreboard.tex", "table-fair_verdicts.tex"):
        assert "hml run fair --profile laptop" in generated(root, name)
    values = generated(root, "values.tex")
    assert "it is not measured yet" in values and "hml@value@rule-margin\\endcsname{0.02}" in values
    assert sorted(p.name for p in root.iterdir()) == ["_build", "book", "paper", "pyproject.toml"]
    assert cli.main(["paper"]) == 0 and "up to date" in capsys.readouterr().out


def test_what_was_changed_by_hand_is_made_again(project, capsys):
    root = project()
    build_paper()
    before = generated(root, "verdicts-fair.tex")
    (root / "_build/laptop/paper/generated/verdicts-fair.tex").write_text("HML wins")
    build_paper()
    assert generated(root, "verdicts-fair.tex") == before and "up to date" not in capsys.readouterr().out


def test_verdicts_figures_and_tables_come_from_the_store(project, tmp_path, monkeypatch):
    root = project()
    fill_fair(Store(tmp_path / "results"))
    drawn = lambda figs, kinds: ({f"{name}.pdf": b"" for name in figs}, [])  # noqa: E731
    monkeypatch.setattr("hmlcore.paper.generated.draw_images", drawn)
    build_paper()
    verdicts = generated(root, "verdicts-fair.tex")
    assert "not measured yet" not in verdicts and "exploratory" in verdicts
    assert r"\includegraphics" in generated(root, "figure-fair_scoreboard.tex")
    table = generated(root, "table-fair_verdicts.tex")
    assert r"\label{tab:fair_verdicts}" in table and table.count(r"\hmlfit{") == table.count(r"\hmlnote{") == 1
    assert " runs of " in generated(root, "values.tex")


LOGS = [
    ("LaTeX Warning: Reference `fig:x' on page 3 undefined on input line 9.", "5", "undefined reference fig:x"),
    (
        "Package natbib Warning: Citation `who' on page 1 undefined on input line 4.",
        "5",
        "unknown citation who",
    ),
    ("Overfull \\hbox (42.1pt too wide) in paragraph at lines 3--9", "5", "by 42.1 pt (in paragraph at lines"),
    ("", "7", "the main text has 7 pages where 4 to 6 are allowed"),
    ("", "3", "the main text has 3 pages"),
    ("! Undefined control sequence.\nl.7 \\hmlx", "5", "not compile: ! Undefined control sequence. l.7 \\hmlx"),
    ("! LaTeX Error: File `booktabs.sty' not found.", "5", "there is no booktabs.sty"),
]


@pytest.mark.parametrize(("log", "pages", "said"), LOGS, ids=[said[:20] for *_, said in LOGS])
def test_what_a_paper_must_not_have_is_said_in_one_message(project, monkeypatch, log, pages, said):
    project()
    monkeypatch.setenv("FAKE_LOG", log)
    monkeypatch.setenv("FAKE_PAGES", pages)
    assert said in refusal()


def test_what_sticks_out_by_little_is_let_pass(project, monkeypatch):
    project()
    monkeypatch.setenv("FAKE_LOG", "Overfull \\hbox (4.9pt too wide) in paragraph at lines 3--9")
    assert build_paper().is_file()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (r"\hmlfigure{fair_scorebord}", "unknown figure in paper/main.tex 'fair_scorebord'; known: ablations"),
        (r"\hmlverdicts{fairr}", "unknown experiment 'fairr'"),
        (r"\hmlstatus{fairr}", "unknown experiment in paper/main.tex 'fairr'"),
        (r"\hmlvalue{rule-margn}", "unknown value in paper/main.tex 'rule-margn'; known: "),
        (r"\includegraphics{by_hand.pdf}", "by_hand.pdf is not made from the store"),
        (r"\input{numbers}", "numbers.tex is not made from the store"),
        (r"\usepackage{own}", "there is no own.sty"),
    ],
)
def test_what_nothing_makes_is_refused(project, more, said):
    project(more)
    assert said in refusal()


def test_a_store_that_changes_meanwhile_makes_figures_stale(project, tmp_path, monkeypatch):
    project()
    (tmp_path / "results" / "laptop").mkdir(parents=True)
    monkeypatch.setenv("FAKE_STORE", str(tmp_path / "results" / "laptop" / "copy.traces.parquet"))
    assert "stale: the store or the code changed since figures were drawn; run hml paper again" in refusal()


def test_a_figure_that_is_not_the_one_that_was_made_is_stale(tmp_path):
    (tmp_path / "generated").mkdir()
    (tmp_path / "main.tex").write_text(r"\includegraphics[width=1in]{generated/a.pdf}")
    (tmp_path / review.RECORD).write_text(review.record_of("key", {"generated/a.pdf": b"new"}))
    (tmp_path / "generated" / "a.pdf").write_bytes(b"old")
    assert review.in_freshness(tmp_path, "key")[0].startswith("stale: generated/a.pdf")
    (tmp_path / "generated" / "a.pdf").write_bytes(b"new")
    assert review.in_freshness(tmp_path, "key") == []


def test_the_bundle_holds_what_is_read_and_the_same_bytes_twice(project, tmp_path, capsys):
    project()
    assert cli.main(["arxiv"]) == 0
    bundle = capsys.readouterr().out.splitlines()[-1]
    first = (tmp_path / "project/_build/laptop/arxiv.tar.gz").read_bytes()
    with tarfile.open(bundle) as packed:
        names = packed.getnames()
        assert {entry.mtime for entry in packed.getmembers()} == {0}
    products = ("values", "verdicts-fair", "rules-fair", "table-fair_verdicts", "figure-fair_scoreboard")
    assert sorted(names) == sorted(["main.tex", "main.bbl", *(f"generated/{name}.tex" for name in products)])
    assert pack_bundle().read_bytes() == first


def test_what_the_bundle_lacks_is_named(project, monkeypatch):
    project()
    monkeypatch.setenv("FAKE_NO_BBL", "1")
    assert "the bundle lacks main.bbl" in refusal(pack_bundle)
