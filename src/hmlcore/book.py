"""From notebooks to pages: papermill executes the chapters, Jupyter Book builds the site.

Everything is written below ``_build/<profile>``, so building never changes a committed file, and only what was
written there before is written over (:mod:`hmlcore.manifest`):

    notebooks/X.ipynb ─ papermill ─► chapters/X.ipynb ─► src/ (the book, staged) ─► html/index.html

Each step leaves a key, the hash of all it read, and is skipped while that key still fits.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from hmlcore import paths
from hmlcore.errors import HmlcoreError, require
from hmlcore.files import listed, read_json, write_file
from hmlcore.keys import code_key, files_below, hash_of, matches
from hmlcore.manifest import Manifest, no_links
from hmlcore.notebooks import PARTIAL, changed, check_installed, execute, for_page, plain
from hmlcore.ops.backend import default_device
from hmlcore.optional import need
from hmlcore.pairs import sync_pairs
from hmlcore.results import Store, source_revision
from hmlcore.results.clear import clear
from hmlcore.runner.run import checkpoint_path, device_name
from hmlcore.studies import experiments, protocol
from hmlcore.studies.export import export_all
from hmlcore.studies.kit.study import PROFILES, check_profile

# A committed store is the published result and is never emptied; this one is made on the spot.
_EPHEMERAL = "smoke"


def chapter_names() -> list[str]:
    """Names of the chapters in reading order: the ``book/chapters/…`` entries of ``_toc.yml``."""
    toc = paths.project() / "_toc.yml"
    require(toc.is_file(), f"there is no {toc}")
    return re.findall(r"book/chapters/([\w-]+)", toc.read_text("utf-8"))


def workspace(profile: str) -> Path:
    """Where a profile's chapters and pages are made: ``_build/<profile>``."""
    root = paths.project()
    return no_links(root, root / "_build" / profile)


def paper_pdf(profile: str) -> Path:
    """Where `hml paper` puts what it made from a profile's results."""
    return workspace(profile) / "paper" / "main.pdf"


def execute_chapters(
    profile: str, run_missing: bool | None = None, *, work: Path | None = None, fresh: bool = False
) -> list[Path]:
    """Execute every chapter by papermill and return the executed copies, normalised, with where that was.

    A chapter is skipped when its notebook, the package, the profile's results and the installed
    versions are those of its last execution.  `run_missing` lets chapters run the experiments that
    the store lacks; it is on by default in the smoke profile only.  `fresh` concerns that profile
    alone: its results are deleted first, and so made afresh, unless this very code made them in an
    earlier fresh build.

    Raises :class:`HmlcoreError` naming the chapter, the cell and the error where one fails.
    """
    check_profile(profile)
    check_installed()
    work = work or workspace(profile)
    run_missing = profile == _EPHEMERAL if run_missing is None else run_missing
    store, code, paper = paths.results() / profile, code_key(), paper_pdf(profile)
    names, executed, folder = chapter_names(), [], work / "chapters"
    kinds = (".ipynb", ".key", PARTIAL)
    Manifest(work).claim("store.key", *(f"chapters/{name}{kind}" for name in names for kind in kinds))
    made_by = work / "store.key"
    if fresh and profile == _EPHEMERAL and not matches(made_by, code):
        _empty(profile)
        write_file(made_by, code)
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names, 1):
        notebook = paths.project() / "notebooks" / f"{name}.ipynb"
        require(notebook.is_file(), f"_toc.yml lists chapter {name!r}, but there is no {notebook}")
        out = folder / notebook.name
        executed.append(out)
        if out.is_file() and matches(out.with_suffix(".key"), _chapter_key(notebook, store, code, paper)):
            _say(f"[{number}/{len(names)}] {name}: up to date")
            continue
        _say(f"[{number}/{len(names)}] {name}: executing in the {profile} profile")
        execute(notebook, out, {"profile": profile, "run_missing": run_missing}, _origin())
    # Only now: a chapter may have added to the store that an earlier one read.
    for out in executed:
        notebook = paths.project() / "notebooks" / out.name
        write_file(out.with_suffix(".key"), _chapter_key(notebook, store, code, paper))
    return executed


def build_book(
    profile: str, run_missing: bool | None = None, *, work: Path | None = None, fresh: bool = False
) -> Path:
    """Execute the chapters (:func:`execute_chapters`), build the site and return its first page.

    Raises :class:`HmlcoreError` with Sphinx's warnings where the build has any.
    """
    need("the book", "book", "jupyter_book", "sphinxcontrib.bibtex", "ipywidgets")
    work = (work or workspace(profile)).resolve()
    run_missing = profile == _EPHEMERAL if run_missing is None else run_missing
    chapters = execute_chapters(profile, run_missing, work=work, fresh=fresh)
    if run_missing:  # otherwise the figures beside the stored results are those of the store
        _say("figures: drawing from the store")
        for notice in export_all(Store(paths.results()), profile, images=False).notices:
            _say(f"notice: {notice}")
    store = paths.results() / profile
    source, made = work / "src", Manifest(work)
    made.claim("html.key", "book.log")
    with tempfile.TemporaryDirectory() as stage:
        _stage(Path(stage), chapters, captions(profile))
        made.replace("src", Path(stage))
    shown = (*listed(store, "figures/*.json"), *listed(store, "*.json"), paths.root() / "package-lock.json")
    has_scripts = str((paths.root() / "node_modules" / "mathjax").is_dir())
    address = os.environ.get("HMLCORE_REPOSITORY", "")
    # What `hml plan` says on a page depends on the speeds in all of them.
    shown += tuple(p for name in PROFILES for p in files_below(paths.results() / name, "*.parquet"))
    key = hash_of(code_key(), has_scripts, address, *files_below(source), *shown, paper_pdf(profile))
    index, stamp = work / "html" / "index.html", work / "html.key"
    if index.is_file() and matches(stamp, key):
        _say("pages: up to date")
        return index
    _say(f"pages: building with Jupyter Book ({len(chapters)} executed chapters)")
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as pages:
        made.replace("html", _jupyter_book(source, Path(pages), profile, log=work / "book.log"))
    write_file(stamp, key)
    return index


def commit_chapters(profile: str = "laptop") -> list[Path]:
    """Sync the pairs, execute the chapters and copy them to ``book/chapters``; return the files that changed.

    One that differs in nothing but where it was executed stays as it is.

    Raises: HmlcoreError where a notebook was edited whose script has other cells; nothing is done then.
    """
    check_installed()
    target = no_links(paths.project(), paths.project() / "book" / "chapters")
    for notebook in sync_pairs(paths.project() / "notebooks", Manifest(workspace("pairs"))):
        _say(f"{notebook.name}: renewed from its .py")
    target.mkdir(exist_ok=True)
    renewed = []
    for chapter in execute_chapters(profile):
        out = no_links(target, target / chapter.name)
        if changed(chapter, out):
            write_file(out, chapter.read_bytes())
            renewed.append(out)
    return renewed


def _origin() -> dict:
    """What an executed chapter keeps of where it was executed."""
    commit, dirty = source_revision()
    device = device_name(default_device())
    return {"device": device, "torch": version("torch"), "commit": commit, "dirty": dirty}


def _empty(profile: str) -> None:
    """Delete a profile's runs, and the checkpoints from which unfinished ones would go on."""
    if not os.environ.get("HMLCORE_RESULTS"):
        no_links(paths.project(), paths.project() / "results")
    if deleted := clear(paths.results(), profile):
        _say(f"emptied {paths.results() / profile} of {deleted} files: its results are to be made afresh")
    for name in experiments():
        for spec in protocol(name).grid(profile):
            checkpoint_path(spec).unlink(missing_ok=True)


def _stage(source: Path, chapters: list[Path], words: dict[str, str]) -> None:
    """Copy the book's sources to `source`, with these executed chapters in place of the committed, and captions
    from the stored figures and a line on where they were executed."""
    root = paths.project()
    shutil.copytree(
        root / "book", source / "book", ignore=shutil.ignore_patterns("chapters", "__pycache__", ".*")
    )
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, source)
    for chapter in chapters:
        write_file(source / "book" / "chapters" / chapter.name, for_page(chapter, words), durable=False)


def captions(profile: str) -> dict[str, str]:
    """The caption of every figure that is stored at `profile`."""
    path = paths.results() / profile / "sources.json"
    require(path.is_file(), f"there is no {path}; make it with: hml figures --profile {profile}")
    try:
        return {name: entry["caption"] for name, entry in read_json(path)["figures"].items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise HmlcoreError(
            f"{path} is not what hml figures wrote; run hml figures --profile {profile}"
        ) from error


def _jupyter_book(source: Path, out: Path, profile: str, log: Path) -> Path:
    """Build `source` from nothing below `out` with every warning an error; returns the folder of the pages."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "."]
    command += ["--path-output", str(out), "-W", "-n", "--keep-going"]
    environment = os.environ | {
        "HMLCORE_HOME": str(paths.root()),
        "HMLCORE_RESULTS": str(paths.results()),
        "HMLCORE_BOOK_PROFILE": profile,
        "HMLCORE_BOOK_PAPER": str(paper_pdf(profile)),
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        command, cwd=source, env=environment, encoding="utf-8", errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    write_file(log, done.stdout)
    lines = plain(done.stdout).splitlines()
    if done.returncode:
        found = [line for line in lines if re.search(r"WARNING|ERROR|Error", line)] or lines[-15:]
        raise HmlcoreError(f"the pages could not be built: {'; '.join(found[:40])}; full log: {log}")
    for line in lines:
        if line.startswith("notice:"):
            _say(line)
    _give_icon(out / "_build" / "html")
    return out / "_build" / "html"


def _give_icon(pages: Path) -> None:
    """Name the book's icon on the first page too, which Jupyter Book writes as a bare redirection.

    A browser that finds none there asks the server for ``/favicon.ico``, which is nowhere.
    """
    index = pages / "index.html"
    if (pages / "_static" / "favicon.svg").is_file() and 'rel="icon"' not in (text := index.read_text("utf-8")):
        write_file(index, '<link rel="icon" href="_static/favicon.svg" />\n' + text, durable=False)


def _chapter_key(notebook: Path, store: Path, code: str, paper: Path) -> str:
    """Hash of all that a chapter reads; one that asks about the paper reads the paper and its source."""
    asks = notebook.is_file() and "hmlcore.paper" in notebook.read_text("utf-8")
    asked = [paper, paths.root() / "paper" / "main.tex"] if asks else []
    return hash_of(code, notebook, *files_below(store, "*.parquet"), *asked)


def _say(line: str) -> None:
    print(line, flush=True)
