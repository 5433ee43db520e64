"""Files: complete, the same every time, honest about what is missing and where each thing came from."""

import json
import re

import pytest
from made_up_results import MIXERS, copy_run, loaded, orbit_run, recall_run

from hmlcore.errors import HmlcoreError
from hmlcore.figures.images import chromium, draw_images
from hmlcore.files import json_text
from hmlcore.results import Store
from hmlcore.results.pack import pack
from hmlcore.results.tuning import tuned
from hmlcore.studies import experiments
from hmlcore.studies.export import claims, dated, draw, export, export_all, figures, tables
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.kit.standing import BEFORE, EXPLORATORY, UNKNOWN


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def sources(exported):
    return json.loads((exported / "sources.json").read_text())


@pytest.fixture(scope="module")
def decided(exported):
    """Name → what became of the claim."""
    found = json.loads((exported / "claims.json").read_text())["claims"]
    assert len({decision["name"] for decision in found}) == len(found)
    return {decision["name"]: decision for decision in found}


def test_everything_is_written(exported):
    expected = {f"figures/{name}.json" for name in figures()}
    expected |= {f"tables/{name}.{kind}" for name in (*tables(), "costs") for kind in ("html", "tex")}
    expected |= {"numbers.json", "numbers.tex", "claims.json", "sources.json"}
    assert set(contents(exported)) == expected


def test_the_same_input_gives_the_same_bytes(tmp_path):
    store = Store(tmp_path / "store")
    for mixer in MIXERS:
        for run in (copy_run(mixer, 0), recall_run(mixer, 0)):
            store.write(run)
    store.write(orbit_run())
    export_all(store, "laptop", tmp_path / "first", images=False)
    export_all(store, "laptop", tmp_path / "again", images=False)
    first = contents(tmp_path / "first")
    assert first == contents(tmp_path / "again")
    assert {"figures/phase_portrait.json", "tables/copy_models.html", "numbers.json"} <= set(first)


@pytest.mark.parametrize("name", tables())
def test_tables_are_the_same_every_time(made_up_store, exported, name):
    table = tables()[name].function(loaded(made_up_store, tables()[name].experiment))
    assert (exported / "tables" / f"{name}.html").read_text() == table.html
    assert (exported / "tables" / f"{name}.tex").read_text() == table.latex


def test_sources_say_where_each_figure_and_table_comes_from(made_up_store, sources):
    assert set(sources["figures"]) == set(figures()) and set(sources["tables"]) == set(tables())
    results = loaded(made_up_store, "copy")
    assert sources["figures"]["copy_curves"] == {
        "experiment": "copy",
        "function": "hmlcore.studies.copy.figures.copy_curves",
        "caption": figures()["copy_curves"].words(results.specs()),
    }
    assert sources["tables"]["copy_models"] == {
        "experiment": "copy",
        "function": "hmlcore.figures.tables.models_table",
    }
    assert sources["results"]["copy"] == {
        "experiment": "copy",
        "profile": "laptop",
        "schema": 1,
        "stamp": "laptop profile · CPU · 3 seeds",
        "specs": results.hashes,
    }
    for product in (*sources["figures"].values(), *sources["tables"].values()):
        assert product["experiment"] in sources["results"]


def test_a_figure_of_traces_names_the_runs_that_it_shows(made_up_store, sources):
    trace = made_up_store.trace("laptop", "orbit", mixer="hml", seed=0)
    entry = sources["figures"]["phase_portrait"]
    assert entry["specs"] == sorted(set(trace["spec_hash"])) and len(entry["specs"]) == 1
    assert entry["stamp"] == "laptop profile · CPU · 1 seed" and entry["caption"]


def test_every_number_names_an_experiment_whose_runs_are_listed(exported, sources):
    found = json.loads((exported / "numbers.json").read_text())
    assert "recall_hml_best" in found and sources["numbers"]["recall_hml_best"] == "recall"
    assert set(sources["numbers"]) == set(found)
    assert set(sources["numbers"].values()) <= set(sources["results"]) == set(experiments())
    assert (exported / "numbers.tex").read_text().count("\\newcommand") == len(found)


def test_every_claim_is_decided_on_the_runs_that_its_conditions_leave(made_up_store, decided):
    assert set(decided) == {claim.name for claim in claims()}
    own = [(results, claim.decide(results)) for claim in claims()
           for results in [loaded(made_up_store, claim.experiment)]]  # fmt: skip
    rules = dated(own, made_up_store)  # all at once: the history is read once
    for claim, (results, decision), rule in zip(claims(), own, rules, strict=True):
        found = decided[claim.name]
        assert found == json.loads(json_text(decision._asdict() | {"rule": rule._asdict()}))
        assert rule.digest and rule.status in (BEFORE, EXPLORATORY, UNKNOWN)
        assert found["verdict"] in (CONFIRMED, REFUTED, UNDECIDED) and found["evidence"]
        seen = tuned(results)
        assert found["runs"] == (seen.where(**claim.where) if claim.where else seen).hashes


def test_without_git_the_rule_of_a_claim_is_what_was_written_of_the_same_runs(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write(copy_run("hml", 0))
    for mixer in ("hml", "gru"):
        store.write(copy_run(mixer, 1))
    export_all(store, "laptop", images=False)
    results = loaded(store, "copy")
    decided = [(results, claim.decide(results)) for claim in claims() if claim.experiment == "copy"]
    known = dated(decided, store)
    monkeypatch.setattr("hmlcore.studies.kit.standing.checkout_of", lambda root: None)
    assert dated(decided, store) == known
    fewer = [(results, found._replace(runs=found.runs[1:])) for _, found in decided]
    assert {rule.status for rule in dated(fewer, store)} == {UNKNOWN}
    (tmp_path / "laptop" / "claims.json").write_text("{}")
    assert {rule.status for rule in dated(decided, store)} == {UNKNOWN}


def test_conditions_leave_the_others_runs_out(made_up_store, decided):
    results = loaded(made_up_store, "recall")
    own = results.where(mixer=["hml", "attention"], lr=0.003).hashes  # another rate is worse
    assert decided["recall.recall_at_fixed_state"]["runs"] == own
    every = set(tuned(results).hashes)
    assert set(own) < every < set(results.hashes)


def test_a_claim_that_results_do_not_suffice_for_is_left_out(tmp_path, decided):
    store = Store(tmp_path)
    run = copy_run("hml", 0)
    rows = [row for row in run.rows if row["metric"] != "exact"]
    store.write(type(run)(run.spec, run.provenance, rows))
    export_all(store, "laptop", images=False)
    assert json.loads((tmp_path / "laptop" / "claims.json").read_text()) == {"claims": []}
    assert "copy.load_not_lag" in decided


def test_json_is_the_figure_and_its_sidecar_says_more(made_up_store, tmp_path):
    fig, results = draw("copy_curves", made_up_store, "laptop"), loaded(made_up_store, "copy")
    export(fig, "copy_curves", results, tmp_path, images=False, caption="Some words.")
    assert json.loads((tmp_path / "copy_curves.json").read_text()) == json.loads(fig.to_json())
    assert json.loads((tmp_path / "copy_curves.sidecar.json").read_text()) == {
        "figure": "copy_curves",
        "experiment": "copy",
        "profile": "laptop",
        "schema": 1,
        "stamp": "laptop profile · CPU · 3 seeds",
        "specs": results.hashes,
        "caption": "Some words.",
    }


def test_default_folder_is_the_profile(tmp_path):
    store = Store(tmp_path)
    store.write(copy_run("hml", 0))
    done = export_all(store, "laptop", images=False)
    assert (tmp_path / "laptop" / "figures" / "copy_curves.json") in done.files
    missing = [notice for notice in done.notices if "hml run recall --profile laptop" in notice]
    assert len(missing) == len([f for f in figures().values() if f.experiment == "recall"])
    assert list(store.summary()["experiment"]) == ["copy"]  # products are no results


def test_copies_of_packed_runs_count_nothing_twice_and_are_named(tmp_path):
    store = Store(tmp_path / "store")
    for seed in (0, 1):
        store.write(copy_run("hml", seed))
    pack(store, "laptop")
    packed, first = store.place("laptop", "copy").packed(), export_all(store, "laptop", images=False)
    before = (packed.parent / "sources.json").read_bytes()
    names = ["copy (1).parquet", "copy.bak.parquet", "copy_copy.parquet"]
    for name in (*names, "._copy.parquet", ".copy.parquet.swp"):  # those that begin with a dot are nobody's
        packed.with_name(name).write_bytes(packed.read_bytes())
    again = export_all(store, "laptop", images=False)
    said = [f"{packed.with_name(name)} is not read: it has the name of no experiment" for name in names]
    assert again.notices == said + first.notices
    assert (packed.parent / "sources.json").read_bytes() == before


@pytest.mark.parametrize("browser", ["/nowhere/chromium", "/bin/false"])
def test_without_a_working_chromium_the_rest_is_written(made_up_store, tmp_path, monkeypatch, browser):
    monkeypatch.setenv("BROWSER_PATH", browser)
    fig = draw("copy_curves", made_up_store, "laptop")
    done = export(fig, "copy_curves", loaded(made_up_store, "copy"), tmp_path)
    assert sorted(path.name for path in done.files) == ["copy_curves.json", "copy_curves.sidecar.json"]
    (notice,) = done.notices
    assert "SVG and PDF left out" in notice


def test_folder_that_cannot_be_written(made_up_store, tmp_path):
    (tmp_path / "file").write_text("")
    fig = draw("copy_curves", made_up_store, "laptop")
    with pytest.raises(HmlcoreError, match="cannot write"):
        export(fig, "copy_curves", loaded(made_up_store, "copy"), tmp_path / "file", images=False)


@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="no Chromium found")
def test_images_are_the_same_every_time_and_have_no_controls(made_up_store):
    figs = {name: draw(name, made_up_store, "laptop") for name in ("recall_frontier", "phase_portrait")}
    first, notices = draw_images(figs)
    assert notices == []
    again, _ = draw_images(figs)
    assert sorted(first) == sorted(f"{name}.{kind}" for name in figs for kind in ("svg", "pdf"))
    assert first == again
    svg = first["recall_frontier.svg"].decode()
    assert svg.startswith("<svg") and "laptop profile · CPU · 3 seeds" in svg
    assert "slider" not in svg and "accuracy, 16 pairs in 256 tokens" in svg
    assert figs["recall_frontier"].layout.sliders  # the figure itself keeps them
    pdf = first["recall_frontier.pdf"]
    assert pdf.startswith(b"%PDF-") and pdf.rstrip().endswith(b"%%EOF")
    assert set(re.findall(rb"\(D:(\d{14})", pdf)) == {b"20000101000000"}
