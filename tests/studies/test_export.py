"""Files: complete, the same every time, honest about what is missing."""

import json
import re

import pytest
from made_up_results import copy_run, loaded

from hmlcore.errors import HmlcoreError
from hmlcore.results import Store
from hmlcore.studies.export import chromium, draw_images, export, export_all
from hmlcore.studies.kit.figure import FIGURES, TABLES, draw


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def exported(made_up_store, tmp_path_factory):
    """All that the made-up store has, without images."""
    out = tmp_path_factory.mktemp("exported")
    assert export_all(made_up_store, "laptop", out, images=False).notices == []
    return out


def test_everything_is_written_and_twice_the_same(made_up_store, exported, tmp_path):
    export_all(made_up_store, "laptop", tmp_path, images=False)
    first = contents(exported)
    assert first == contents(tmp_path)
    expected = {f"figures/{n}{kind}" for n in FIGURES for kind in (".json", ".sidecar.json")}
    expected |= {f"tables/{name}.{kind}" for name in TABLES for kind in ("html", "tex")}
    assert set(first) == expected | {"numbers.json", "numbers.tex"}
    assert "recall_hml_best" in json.loads(first["numbers.json"])


def test_sidecar_says_where_a_figure_comes_from(made_up_store, exported):
    results = loaded(made_up_store, "copy")
    assert json.loads((exported / "figures" / "copy_curves.sidecar.json").read_text()) == {
        "figure": "copy_curves",
        "function": "hmlcore.studies.copy.figures.copy_curves",
        "experiment": "copy",
        "profile": "laptop",
        "schema": 1,
        "stamp": "laptop profile · CPU · 3 seeds",
        "specs": results.hashes,
    }
    trace = made_up_store.trace("laptop", "bytes", mixer="hml", seed=0)
    sidecar = json.loads((exported / "figures" / "phase_portrait.sidecar.json").read_text())
    assert sidecar["specs"] == sorted(set(trace["spec_hash"])) and len(sidecar["specs"]) == 1


def test_json_is_the_figure(made_up_store, tmp_path):
    fig = draw("copy_curves", made_up_store, "laptop")
    export(fig, "copy_curves", loaded(made_up_store, "copy"), tmp_path, images=False)
    assert json.loads((tmp_path / "copy_curves.json").read_text()) == json.loads(fig.to_json())


def test_default_folder_is_the_profile(tmp_path):
    store = Store(tmp_path)
    store.write(copy_run("hml", 0))
    done = export_all(store, "laptop", images=False)
    assert (tmp_path / "laptop" / "figures" / "copy_curves.json") in done.files
    missing = [notice for notice in done.notices if "hml run recall --profile laptop" in notice]
    assert len(missing) == len([f for f in FIGURES.values() if f.experiment == "recall"])
    assert list(store.summary()["experiment"]) == ["copy"]  # products are no results


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
