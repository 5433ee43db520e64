"""Pages before and after their runs are in: what the book's directives show out of the store."""

import importlib
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from made_up_results import fair_run, fill_sparse, loaded

from hmlcore.paper.claimed import claims_of, counted
from hmlcore.paper.verdicts import WAITS, Decided
from hmlcore.results import Store
from hmlcore.runner.plan import plan
from hmlcore.studies import experiments
from hmlcore.studies.export import claims, export_all
from hmlcore.studies.fair import RIVALS, ROWS
from hmlcore.studies.fair.claims import CLAIMS
from hmlcore.studies.fair.families import FAMILIES, FAMILY
from hmlcore.studies.fair.figures import fair_verdicts

ROOT = Path(__file__).resolve().parents[2]
EXTENSIONS = ("hmlbook", "hmlpaper", "hmllaunch")
PAGE = (ROOT / "book" / "results_at_a_glance.md").read_text("utf-8")


@pytest.fixture
def ext(tmp_path, monkeypatch):
    """The book's extensions, which read a store that is empty."""
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    monkeypatch.setenv("HMLCORE_RESULTS", str(tmp_path))
    monkeypatch.setenv("HMLCORE_BOOK_PROFILE", "laptop")
    found = SimpleNamespace(**{name: importlib.import_module(name) for name in EXTENSIONS})
    yield found
    for name in EXTENSIONS:
        del sys.modules[name]


def shown(directive, *arguments, page=None, **options):
    """What a directive puts on a page, as text; an error of it is a LookupError."""
    env = SimpleNamespace(note_dependency=lambda path: None, note_reread=lambda: None, docname="book/page",
                          temp_data={} if page is None else page)  # fmt: skip
    stub = SimpleNamespace(arguments=arguments, options=options, env=env, content=None, error=LookupError)
    return "\n".join(node.astext() for node in directive.run(stub))


def test_what_is_awaited_says_so_once_at_length(ext):
    page = {}
    first = shown(ext.hmlbook.HmlFigure, "fair_scoreboard", page=page, awaited=None)
    again = shown(ext.hmlbook.HmlTable, "fair_verdicts", page=page, awaited=None)
    assert "The runs of fair are not in yet at the laptop profile: hml run fair --profile laptop" in first
    assert again == "Waits for the runs of fair, which are not in yet."


def test_only_what_has_no_runs_may_be_awaited(ext, tmp_path):
    for name, options in (("fair_verdicts", {}), ("no_such_table", {"awaited": None})):
        with pytest.raises(LookupError, match="hml figures --profile laptop"):
            shown(ext.hmlbook.HmlTable, name, **options)
    (tmp_path / "laptop").mkdir()
    (tmp_path / "laptop" / "sources.json").write_text(json.dumps({"results": {"fair": {}}}))
    with pytest.raises(LookupError):  # the runs are in, the table was forgotten
        shown(ext.hmlbook.HmlTable, "fair_verdicts", awaited=None)


def test_the_page_fills_itself_once_the_runs_are_in(ext, tmp_path):
    store, rows = Store(tmp_path), ("HML", "attention", "Mamba")
    for task, seed, row in itertools.product(FAMILY, range(2), rows):
        store.write(fair_run(ROWS[row], seed, row, task, skill=0.95))
    results = loaded(store, "fair")
    decided = [c.decide(results)._asdict() | {"rule": {"status": "exploratory"}} for c in CLAIMS]
    for name, text in {
        "tables/fair_verdicts.html": fair_verdicts(results).html,
        "claims.json": json.dumps({"claims": decided}),
    }.items():
        (tmp_path / "laptop" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "laptop" / name).write_text(text)
    table = shown(ext.hmlbook.HmlTable, "fair_verdicts", awaited=None)
    assert "not in yet" not in table and all(rival in table for rival in RIVALS)
    assert all(family in table for family in FAMILIES)
    claimed = shown(ext.hmlpaper.HmlClaims, "fair")
    assert WAITS not in claimed and claimed.count("(exploratory)") == len(CLAIMS)


def test_the_page_asks_for_all_that_the_comparison_shows(ext):
    for name in ("fair_scoreboard", "fair_verdicts", "fair_scores", "fair_solved", "fair_given", "fair_tried"):
        assert f"}} {name}\n:awaited:\n```" in PAGE
    words = {12: "twelve other rows", 6: "six families"}
    assert words[len(RIVALS)] in PAGE and words[len(FAMILIES)] in PAGE


def test_every_claim_is_counted_once(ext):
    stored = json.loads((ROOT / "results" / "laptop" / "claims.json").read_text("utf-8"))["claims"]
    decided = [Decided(**entry) for entry in stored]
    table = counted(decided).set_index("question")
    total = table.loc["all"]
    assert total["claims"] == len(claims()) == table["claims"].iloc[:-1].sum()
    assert total["confirmed"] + total["refuted"] + total["undecided"] == len(decided)
    assert total[WAITS] == len(claims()) - len(decided)
    assert total["exploratory"] == sum(entry["rule"]["status"] == "exploratory" for entry in stored)
    physics = claims_of("physics", decided)
    assert list(physics["verdict"]) == [
        d.standing.beside(d.verdict) for d in decided if d.name[:8] == "physics."
    ]
    assert (claims_of("fair", [])["verdict"] == WAITS).all()


def test_a_plan_has_a_line_an_experiment_or_says_what_is_not_known(ext, monkeypatch):
    absent = shown(ext.hmlbook.HmlPlan, "full")
    assert "What the full profile costs is not known: no training of attention is stored" in absent
    assert "hml run copy --profile laptop" in absent
    store = Store(ROOT / "results")
    monkeypatch.setenv("HMLCORE_RESULTS", str(store.root))
    found = shown(ext.hmlbook.HmlPlan, "full")
    assert found == plan(store, "full").html() and "full profile, at most" in found
    assert all(f">{name}</td>" in found for name, e in experiments().items() if e.trained)
    with pytest.raises(LookupError, match="unknown profile 'huge'"):
        shown(ext.hmlbook.HmlPlan, "huge")


def test_a_paper_that_was_not_built_is_no_picture(ext, monkeypatch, tmp_path):
    monkeypatch.setenv("HMLCORE_BOOK_PAPER", str(tmp_path / "main.pdf"))
    assert "was not built for these pages" in shown(ext.hmlpaper.HmlPaper)


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/who/what.git", "https://github.com/who/what"),
        ("git@github.com:who/what", "https://github.com/who/what"),
        ("https://token@gitlab.com/who/what.x/", "https://gitlab.com/who/what.x"),
        ("/srv/who/what", ""),
        ("https://github.com.evil.org/who/what", ""),
        ("https://github.com/who", ""),
    ],
)
def test_remotes_are_told_apart(ext, remote, address):
    assert ext.hmllaunch.web_address(remote) == address


@pytest.mark.parametrize(
    ("named", "cited", "buttons"),
    [
        ("", "", set()),
        ("https://github.com/a/b", "https://gitlab.com/c/d", {"binderhub_url", "colab_url"}),
        ("", "https://gitlab.com/c/d", {"binderhub_url"}),
    ],
)
def test_buttons_need_an_address_and_colab_github(ext, monkeypatch, tmp_path, named, cited, buttons, capsys):
    monkeypatch.setenv("HMLCORE_HOME", str(tmp_path))
    monkeypatch.setenv("HMLCORE_REPOSITORY", named)
    (tmp_path / "CITATION.cff").write_text(f"repository-code: {cited}\n" if cited else "title: x\n")
    given = {"binderhub_url": "b", "colab_url": "c"}
    config = SimpleNamespace(html_theme_options={"launch_buttons": given, "repository_url": ""})
    ext.hmllaunch.give_buttons(None, config)
    options = config.html_theme_options
    assert set(options["launch_buttons"]) == buttons
    assert options.get("repository_url", "") == (named or cited)
    assert ("no Binder and Colab buttons" in capsys.readouterr().out) == (not buttons)


def test_an_address_that_is_none_is_refused(ext, monkeypatch):
    monkeypatch.setenv("HMLCORE_REPOSITORY", "somewhere")
    with pytest.raises(Exception, match="HMLCORE_REPOSITORY is 'somewhere'"):
        ext.hmllaunch.repository()


def test_capabilities_say_what_came_of_them(ext, tmp_path):
    before = shown(ext.hmlpaper.HmlCapabilities, "sparse")
    assert before.count("RSM-") == 22 and before.count(WAITS) == 14
    fill_sparse(Store(tmp_path), seeds=5)
    export_all(Store(tmp_path), "laptop", images=False)
    after = shown(ext.hmlpaper.HmlCapabilities, "sparse")
    assert after.count("there; confirmed") == 2 and "there; refuted" in after
    assert "there; gain" in after


def test_the_list_of_the_holographic_memory_says_what_came_of_it(ext, tmp_path):
    before = shown(ext.hmlpaper.HmlCapabilities, "holographic")
    assert before.count("HAMT") == 15 and WAITS in before and "refuted" not in before
    entry = {
        "name": "holographic_cost.described_is_cheaper", "statement": "It is cheaper", "verdict": "refuted",
        "evidence": "it costs more", "rule": {"status": "exploratory"},
    }  # fmt: skip
    (tmp_path / "laptop").mkdir()
    (tmp_path / "laptop" / "claims.json").write_text(json.dumps({"claims": [entry]}), "utf-8")
    after = shown(ext.hmlpaper.HmlCapabilities, "holographic")
    assert "described is cheaper: refuted (exploratory" in after and ", it costs more" in after


def test_the_ledger_before_and_after_its_runs(ext, tmp_path):
    before = shown(ext.hmlpaper.HmlLedger)
    assert before.count(WAITS) == 17 and "0 of 11 versions are measured" in before
    fill_sparse(Store(tmp_path))
    after = shown(ext.hmlpaper.HmlLedger)
    assert WAITS not in after and "☑" in after and "11 of 11 versions are measured" in after
