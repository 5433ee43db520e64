"""Nothing that was not written here is deleted, emptied or written over: by no verb, target or script."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from made_up import provenance

from hmlcore import book, cli, paths
from hmlcore.errors import HmlcoreError
from hmlcore.manifest import Manifest, clean
from hmlcore.results import Run, Store
from hmlcore.results.clear import clear
from hmlcore.results.pack import pack
from hmlcore.runner import catalogue
from hmlcore.studies import protocol
from hmlcore.studies.export import export_all

ROOT = Path(__file__).resolve().parents[2]


def tree(folder: Path) -> dict[str, bytes | str]:
    """All that is below a folder, links as what they point to."""
    return {
        str(p.relative_to(folder)): str(p.readlink())
        if p.is_symlink()
        else p.read_bytes()
        if p.is_file()
        else b""
        for p in sorted(folder.rglob("*"))
    }


def write(path: Path, text: str = "mine") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(capsys, *arguments: str) -> str:
    """What `hml` says, on one line, when it refuses."""
    assert cli.main([*arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """Somebody's book, with results measured by hand; the working folder."""
    for name in ("HOME", "RESULTS", "CHECKPOINTS", "CACHE", "RUNS"):
        monkeypatch.delenv(f"HMLCORE_{name}", raising=False)
    folder = tmp_path / "theirs"
    write(folder / "_toc.yml", "format: jb-book\nroot: intro\nchapters: [{file: book/chapters/one}]\n")
    write(folder / "intro.md")
    write(folder / "pyproject.toml", "[project]\nname = 'theirs'\n")
    write(folder / "results" / "smoke" / "measured_by_hand.csv")
    write(folder / "results" / "smoke" / "numbers.json")
    monkeypatch.chdir(folder)
    return folder


def made_up_run(profile: str = "smoke") -> Run:
    return Run(protocol("copy").grid(profile)[0], provenance(), [{"metric": "accuracy", "value": 0.5, "n": 2}])


def test_a_table_of_contents_makes_no_project_ours(foreign, monkeypatch, capsys):
    before = tree(foreign)
    assert paths.root() == ROOT  # where the package runs from
    monkeypatch.setattr(paths, "__file__", str(foreign.parent / "site-packages" / "hmlcore" / "paths.py"))
    assert paths.root() == foreign / "hmlcore-work"
    for options in (["--fresh"], [], ["--commit-chapters"]):
        assert "is no checkout of hmlcore" in refusal(capsys, "book", "--profile", "smoke", *options)
    monkeypatch.setenv("HMLCORE_HOME", str(foreign))
    assert "is no checkout of hmlcore" in refusal(capsys, "book", "--profile", "smoke", "--fresh")
    assert "no results at profile 'smoke'" in refusal(capsys, "figures", "--profile", "smoke")
    assert tree(foreign) == before


@pytest.mark.parametrize(
    "settings", ["[project]\nname = 'theirs'", "[tool]\nhmlcore = 1", "project = 'hmlcore'", "not toml", None]
)
def test_a_project_is_known_by_its_own_name(settings, tmp_path):
    assert paths.is_project(ROOT) and not paths.is_project(tmp_path)
    if settings is not None:
        write(tmp_path / "pyproject.toml", settings)
    assert not paths.is_project(tmp_path)


FOREIGN = {
    "a table": "measured_by_hand.csv",
    "a table among figures": "figures/mine.csv",
    "a table among runs": ".runs/copy/notes.csv",
    "parquet of one's own": "copy.parquet",
    "another's parquet among runs": "copy/mine.parquet",
    "a folder": "photos/0123456789abcdef/one.png",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_store_with_a_file_that_is_not_ours_is_not_emptied(kind, tmp_path):
    store = Store(tmp_path)
    store.write(made_up_run())
    mine = write(tmp_path / "smoke" / FOREIGN[kind])
    before = tree(tmp_path)
    with pytest.raises(HmlcoreError, match=str(mine)):
        clear(tmp_path, "smoke")
    assert tree(tmp_path) == before


def test_a_copy_of_runs_is_not_ours(tmp_path):
    """Somebody made it, to keep it: of packed runs, and of a loose one."""
    store = Store(tmp_path)
    store.write(made_up_run())
    pack(store, "smoke")
    loose, packed = store.write(made_up_run()), store.place("smoke", "copy").packed()
    names = ((loose, f"{loose.stem}.bak.parquet"), (packed, "copy.bak.parquet"), (packed, "copy_kept.parquet"))
    for path, name in names:
        copy = path.with_name(name)
        copy.write_bytes(path.read_bytes())
        with pytest.raises(HmlcoreError, match=str(copy)):
            clear(tmp_path, "smoke")
        assert loose.exists() and packed.exists() and copy.exists()
        copy.unlink()
    leftover = write(loose.with_name(f"._{loose.name}"))  # a Mac's: it stays, and is not in the way
    assert clear(tmp_path, "smoke") == 3 and leftover.exists() and not loose.exists()


@pytest.mark.parametrize("place", ["smoke", "smoke/.runs", "smoke/figures", "smoke/0123456789abcdef.parquet"])
def test_a_store_is_not_emptied_through_a_link(place, tmp_path):
    elsewhere = write(tmp_path / "elsewhere" / "copy" / "0123456789abcdef.parquet").parent.parent
    link = tmp_path / "results" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    with pytest.raises(HmlcoreError, match=f"{link} is a symbolic link"):
        clear(tmp_path / "results", "smoke")
    assert (elsewhere / "copy" / "0123456789abcdef.parquet").exists() and link.is_symlink()


def test_emptying_takes_every_run_and_leaves_what_was_drawn(tmp_path):
    store, run = Store(tmp_path), made_up_run()
    store.write(run)
    pack(store, "smoke")
    store.write(run)
    write(tmp_path / "smoke" / "copy" / "0123456789abcdef.trace.parquet")
    write(tmp_path / "smoke" / ".hml-host-1-01234567-0.tmp")
    drawn = write(tmp_path / "smoke" / "figures" / "copy.svg")
    other = write(tmp_path / "laptop" / "figures" / "copy.svg")
    empty = tmp_path / "smoke" / "for_later"
    empty.mkdir()
    assert clear(tmp_path, "smoke") >= 4
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == {drawn, other}
    assert clear(tmp_path, "full") == 0
    assert empty.is_dir() and not (tmp_path / "smoke" / ".runs").exists()


def test_a_made_folder_keeps_what_is_not_ours(tmp_path):
    made, new = Manifest(tmp_path / "work"), tmp_path / "new"
    write(new / "a" / "1"), write(new / "b")
    made.replace("html", new)
    mine = write(tmp_path / "work" / "html" / "a" / "mine")
    (new / "a" / "1").unlink(), write(new / "b", "again")
    made.replace("html", new)
    assert made.names() == {"html/b"} and (tmp_path / "work/html/b").read_text() == "again"
    assert {p.name for p in (tmp_path / "work").rglob("*") if p.is_file()} == {".hmlcore-made", "b", "mine"}
    write(new / "a" / "mine", "theirs")
    before = tree(tmp_path / "work")
    with pytest.raises(HmlcoreError, match=f"{mine} is in the way"):
        made.replace("html", new)
    assert tree(tmp_path / "work") == before
    made.clean()
    assert [p for p in (tmp_path / "work").rglob("*") if p.is_file()] == [mine]


@pytest.mark.parametrize("link", ["html", "html/a", "html/a/1"])
def test_a_made_folder_follows_no_link(link, tmp_path):
    made, new = Manifest(tmp_path / "work"), tmp_path / "new"
    write(new / "a" / "1")
    made.replace("html", new)
    write(tmp_path / "elsewhere" / "a" / "1"), write(tmp_path / "elsewhere" / "1")
    there = tmp_path / "work" / link
    there.unlink() if there.is_file() else shutil.rmtree(there)
    there.symlink_to(tmp_path / "elsewhere" / "1" if link.endswith("1") else tmp_path / "elsewhere")
    before = tree(tmp_path / "elsewhere")
    for ask in (lambda: made.replace("html", new), made.clean):
        with pytest.raises(HmlcoreError, match=f"{there} is a symbolic link"):
            ask()
    assert tree(tmp_path / "elsewhere") == before


def test_a_list_that_names_a_place_outside_is_not_believed(tmp_path):
    mine = write(tmp_path / "mine")
    write(tmp_path / "work" / ".hmlcore-made", f"../mine\n{mine}\n")
    Manifest(tmp_path / "work").clean()
    assert mine.exists()


def test_make_clean_takes_only_what_was_made(tmp_path):
    made = Manifest(tmp_path / "_build" / "smoke")
    write(tmp_path / "new" / "index.html")
    made.replace("html", tmp_path / "new")
    mine = write(tmp_path / "_build" / "notes.txt")
    theirs = write(tmp_path / ".pytest_cache" / "thesis.tex")
    write(tmp_path / ".ruff_cache" / "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
    write(tmp_path / "elsewhere" / "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
    (tmp_path / ".import_linter_cache").symlink_to(tmp_path / "elsewhere")
    kept = clean(tmp_path)
    assert not (tmp_path / "_build" / "smoke").exists() and not (tmp_path / ".ruff_cache").exists()
    assert mine.exists() and theirs.exists() and (tmp_path / "elsewhere" / "CACHEDIR.TAG").exists()
    assert [line.split()[0] for line in kept] == [
        str(tmp_path / name) for name in ("_build", ".pytest_cache", ".import_linter_cache")
    ]


def test_make_clean_is_that_and_needs_no_environment(tmp_path):
    for name in ("Makefile", "tools/find-python"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "src").symlink_to(ROOT / "src")
    mine = write(tmp_path / "_build" / "laptop" / "mine")
    write(tmp_path / ".ruff_cache" / "CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")
    done = subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "_build holds what hml did not write" in done.stderr, done
    assert mine.exists() and not (tmp_path / ".ruff_cache").exists()


@pytest.mark.parametrize("name", ["numbers.json", "figures/copy_curves.json", "tables/copy_models.html"])
def test_figures_are_not_written_over_others(name, tmp_path, capsys):
    mine = write(tmp_path / "out" / name)
    with pytest.raises(HmlcoreError, match=f"{mine} was not written by hml figures"):
        export_all(Store(tmp_path / "none"), "smoke", tmp_path / "out", images=False)
    assert tree(tmp_path / "out").keys() == {*map(str, Path(name).parents), name} - {"."}
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("link", ["figures", "tables", "numbers.json"])
def test_figures_are_not_written_through_links(link, tmp_path):
    mine = write(tmp_path / "elsewhere" / "numbers.json")
    out, listed = tmp_path / "out", ("figures", "tables", "numbers", "results")
    write(out / "sources.json", json.dumps({key: {} for key in listed}))
    (out / link).symlink_to(mine if link.endswith("json") else mine.parent)
    with pytest.raises(HmlcoreError, match=f"{out / link} is a symbolic link"):
        export_all(Store(tmp_path / "none"), "smoke", out, images=False)
    assert mine.read_text() == "mine"


def test_the_catalogue_deletes_only_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(catalogue, "_made", lambda _sources: catalogue.Catalogue({}, {}, {}))
    mine, old = write(tmp_path / "catalogue-1891.kept"), write(tmp_path / "catalogue-0123456789abcdef.kept")
    catalogue.catalogue()
    assert mine.exists() and not old.exists()


@pytest.fixture
def setup_env(tmp_path, monkeypatch):
    """The setup script, for a project that is elsewhere."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import setup_env

    for name, place in (("VENV", ".venv"), ("NODE_MODULES", "node_modules"), ("PYTHON", ".venv/bin/python")):
        monkeypatch.setattr(setup_env, name, tmp_path / place)
    monkeypatch.setattr(setup_env.shutil, "which", lambda name: f"/{name}")
    called = []

    def noted(command, **_):
        called.append(command)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(setup_env, "answer", lambda command: None)
    monkeypatch.setattr(setup_env.subprocess, "run", noted)
    setup_env.called = called
    return setup_env


@pytest.mark.parametrize("linked", [False, True])
def test_setup_empties_no_environment_and_no_modules_of_others(linked, setup_env, tmp_path, capsys):
    for folder in (".venv", "node_modules"):
        real = tmp_path / "elsewhere" / folder if linked else tmp_path / folder
        write(real / "mine")
        write(real / setup_env.MADE if linked else real / "pyvenv.cfg")
        if linked:
            (tmp_path / folder).symlink_to(real)
    before = tree(tmp_path)
    with pytest.raises(setup_env.SetupError, match="was not made here"):
        setup_env.make_venv()
    setup_env.install_scripts()
    assert "npm would empty it" in capsys.readouterr().out
    assert setup_env.called == [] and tree(tmp_path) == before


def test_setup_renews_what_it_made(setup_env, tmp_path):
    write(tmp_path / ".venv" / setup_env.MADE), write(tmp_path / ".venv" / "bin" / "python", "broken")
    write(tmp_path / "node_modules" / setup_env.STAMP, "old")
    setup_env.make_venv()
    setup_env.install_scripts()
    assert [command[1:3] for command in setup_env.called] == [["-m", "venv"], ["ci", "--ignore-scripts"]]
    assert [p.name for p in (tmp_path / ".venv").iterdir()] == [setup_env.MADE]
    assert "--clear" not in setup_env.called[0]


def test_what_is_built_does_not_leave_through_a_link(tmp_path, monkeypatch):
    write(tmp_path / "pyproject.toml", "[project]\nname = 'hmlcore'\n")
    write(tmp_path / "elsewhere" / "smoke" / "html" / "mine")
    (tmp_path / "_build").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("HMLCORE_HOME", str(tmp_path))
    with pytest.raises(HmlcoreError, match="_build is a symbolic link"):
        book.workspace("smoke")
    (tmp_path / "book").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HmlcoreError, match="book is a symbolic link"):
        book.commit_chapters("smoke")


LOOPS = ("RESULTS", "CHECKPOINTS", "CACHE", "RUNS", "HOME", "DATA")


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize("kind", ["loop", "file", "below a file"])
def test_a_place_that_is_no_folder_is_one_line(name, kind, tmp_path, monkeypatch):
    place = tmp_path / "place"
    place.symlink_to("place") if kind == "loop" else write(place)
    place = place / "below" if kind == "below a file" else place
    monkeypatch.setenv(f"HMLCORE_{name}", str(place))
    ask = {"HOME": paths.root}.get(name) or getattr(paths, name.lower())
    with pytest.raises(HmlcoreError, match=rf"{place} (cannot be used: |is not a folder).*HMLCORE_{name}"):
        ask()
