"""Criteria of success and steps to a submission: each verdict follows from the store and from files."""

import tarfile

import pytest
from made_up_results import fair_run, fill_fair
from paper_projects import paper_project

from hmlcore.errors import HmlcoreError
from hmlcore.paper import criteria as asked
from hmlcore.paper import submission
from hmlcore.paper.criteria import LONG, MET, NOT_MET, PARTS, WAITS, criteria, in_source
from hmlcore.paper.submission import BY_HAND, BY_PEOPLE, DONE, TO_DO, steps
from hmlcore.results import Store
from hmlcore.studies.fair import ROWS
from hmlcore.studies.fair.families import FAMILIES, FAMILY

PLOT, DRAFT, REPOSITORY = range(3)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with the real paper's source and an empty store."""
    for name, place in {"HOME": "project", "RESULTS": "results"}.items():
        monkeypatch.setenv(f"HMLCORE_{name}", str(tmp_path / place))
    return paper_project(tmp_path / "project", source=None)


def verdict(row):
    line = criteria("laptop").loc[row]
    return line["verdict"], line["evidence"]


def fill(tmp_path, worse=()):
    """HML at .95, Mamba a little below, but ahead in the families `worse`; attention opens the gate."""
    store = Store(tmp_path / "results")
    for task, family in FAMILY.items():
        for seed in range(5):
            for row, skill in {
                "HML": 0.95,
                "attention": 0.95,
                "Mamba": 1.0 if family in worse else 0.9,
            }.items():
                store.write(fair_run(ROWS[row], seed, row, task, skill=skill - 0.002 * seed))


def test_without_runs_and_without_a_pdf_it_waits(project):
    assert verdict(PLOT)[0] == WAITS
    state, evidence = verdict(DRAFT)
    assert state == WAITS and "fair" in evidence and "rotor_towers" in evidence and "not built" in evidence


def test_one_long_family_is_enough_and_none_is_not(project, tmp_path, monkeypatch):
    lost, won = LONG[:2], LONG[2]
    fill(tmp_path, worse=lost)
    found, evidence = verdict(PLOT)
    assert found == MET and set(LONG) <= set(FAMILIES)
    assert f"{won}: confirmed" in evidence and all(f"{family}: refuted" in evidence for family in lost)
    monkeypatch.setattr(asked, "LONG", lost)
    assert verdict(PLOT)[0] == NOT_MET


def test_a_grid_that_is_not_finished_waits(project, tmp_path):
    fill_fair(Store(tmp_path / "results"), seeds=1, cases=("copy",))
    state, evidence = verdict(PLOT)
    assert state == WAITS and "lack the cases" in evidence


@pytest.mark.parametrize(
    ("of", "to", "told"),
    [
        (r"\section{Limits}", r"\section{Strengths}", "there is no section Limits"),
        (r"[Proof of Proposition~\ref{prop:chunk}]", "", "proposition prop:chunk has no proof"),
        (r"\citet{holm1979simple}", r"\citet{nobody2020}", "unknown citation nobody2020"),
    ],
)
def test_what_the_draft_lacks_is_named(project, of, to, told):
    source = project / "paper" / "main.tex"
    text = source.read_text("utf-8")
    assert in_source(text) == [] and of in text
    source.write_text(text.replace(of, to), "utf-8")
    state, evidence = verdict(DRAFT)
    assert state == NOT_MET and evidence.startswith(told)


def test_a_draft_is_met_only_with_all_runs_and_a_sound_pdf(project, monkeypatch):
    monkeypatch.setattr(asked, "waits_for", lambda text, profile: [])
    assert verdict(DRAFT)[0] == WAITS
    pdf = project / "_build" / "laptop" / "paper" / "main.pdf"
    pdf.parent.mkdir(parents=True)
    pdf.write_bytes(b"%PDF")
    state, evidence = verdict(DRAFT)
    assert state == WAITS and "the source that it was made from is not in" in evidence
    (pdf.parent / "main.tex").write_text((project / "paper" / "main.tex").read_text("utf-8"), "utf-8")
    state, evidence = verdict(DRAFT)  # nothing beside it says how it was made
    assert state == NOT_MET and "not marked" in evidence
    for found, state in (([], MET), (["stale: the store changed"], WAITS), (["a box sticks out"], NOT_MET)):
        monkeypatch.setattr(asked, "faults", lambda profile, found=found: found)
        assert verdict(DRAFT)[0] == state


def test_parts_of_the_repository_are_looked_for(project, tmp_path):
    state, evidence = verdict(REPOSITORY)
    assert state == NOT_MET
    assert evidence == "there is no proposal, no roadmap, no code, no licence, no citation, no results"
    for place in PARTS.values():
        (project / place).parent.mkdir(parents=True, exist_ok=True)
        (project / place).touch()
    (tmp_path / "results" / "laptop").mkdir(parents=True)
    for name in ("copy.parquet", "copy.traces.parquet"):
        (tmp_path / "results" / "laptop" / name).touch()
    assert verdict(REPOSITORY) == (MET, f"{', '.join(PARTS)}, and results of 1 experiments")


def test_steps_are_done_when_files_say_so_and_uploading_never(project, monkeypatch):
    (project / "CITATION.cff").write_text("version: 1\n")
    before = steps("laptop")
    assert set(before["state"]) == {TO_DO, BY_HAND} | ({DONE} & set(before["state"]))
    assert list(before["state"].iloc[:5]) == [TO_DO] * 5
    monkeypatch.setattr(submission, "waits_for", lambda text, profile: [])
    monkeypatch.setattr(submission, "faults", lambda profile: [])
    source, built = project / "paper" / "main.tex", project / "_build" / "laptop" / "paper"
    source.write_text(source.read_text("utf-8").replace("The hmlcore authors", "Ada Byron"), "utf-8")
    (project / "CITATION.cff").write_text("version: 1\nrepository-code: somewhere\n")
    built.mkdir(parents=True)
    (built / "main.pdf").touch()
    with tarfile.open(built.parent / "arxiv.tar.gz", "w:gz") as bundle:
        bundle.add(source, "main.tex")
    after = steps("laptop")
    assert list(after["state"].iloc[:5]) == [DONE] * 5
    assert list(after["state"].iloc[-len(BY_PEOPLE) :]) == [BY_HAND] * len(BY_PEOPLE)
    source.write_text(source.read_text("utf-8") + "% more\n", "utf-8")
    assert steps("laptop").loc[2, "evidence"] == "of an older source"


def test_an_unknown_profile_is_refused(project):
    for ask in (criteria, steps):
        with pytest.raises(HmlcoreError, match="unknown profile 'huge'"):
            ask("huge")
