"""From notebooks to pages: papermill executes the chapters, Jupyter Book builds the site.

Everything is written below ``_build/<profile>``, so building never changes a committed file:

    notebooks/X.ipynb ─ papermill ─► chapters/X.ipynb ─► src/ (the book, staged) ─► html/index.html

Each step leaves a key, the hash of all it read, and is skipped while that key still fits.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from hmlcore import paths
from hmlcore.errors import HmlcoreError, require
from hmlcore.files import write_file
from hmlcore.results import Store
from hmlcore.runner.run import checkpoint_path
from hmlcore.studies import experiments, protocol
from hmlcore.studies.export import export_all
from hmlcore.studies.kit.study import check_profile

# A committed store is the published result and is never emptied; this one is made on the spot.
_EPHEMERAL = "smoke"
_KEPT_METADATA = ("tags", "mystnb", "figure", "label")
_HIDDEN_TAGS = ("parameters", "injected-parameters")


def chapter_names() -> list[str]:
    """Names of the chapters in reading order: the ``book/chapters/…`` entries of ``_toc.yml``."""
    toc = paths.root() / "_toc.yml"
    require(toc.is_file(), f"no _toc.yml in {paths.root()}: run this inside the project, or set HMLCORE_HOME")
    return re.findall(r"book/chapters/([\w-]+)", toc.read_text("utf-8"))


def workspace(profile: str) -> Path:
    """Where a profile's chapters and pages are made: ``_build/<profile>``."""
    return paths.root() / "_build" / profile


def execute_chapters(
    profile: str, run_missing: bool | None = None, *, work: Path | None = None, fresh: bool = False
) -> list[Path]:
    """Execute every chapter by papermill and return the executed copies, normalised.

    A chapter is skipped when its notebook, the package, the profile's results and the installed
    versions are those of its last execution.  `run_missing` lets chapters run the experiments that
    the store lacks; it is on by default in the smoke profile only.  `fresh` concerns that profile
    alone: its results are deleted first, and so made afresh, unless this very code made them in an
    earlier fresh build.

    Raises :class:`HmlcoreError` naming the chapter, the cell and the error where one fails.
    """
    check_profile(profile)
    work = work or workspace(profile)
    run_missing = profile == _EPHEMERAL if run_missing is None else run_missing
    store, code = paths.results() / profile, _code_key()
    made_by = work / "store.key"
    if fresh and profile == _EPHEMERAL and not _matches(made_by, code):
        _empty(store, profile)
        write_file(made_by, code)
    folder = work / "chapters"
    folder.mkdir(parents=True, exist_ok=True)
    names, executed = chapter_names(), []
    for number, name in enumerate(names, 1):
        notebook = paths.root() / "notebooks" / f"{name}.ipynb"
        require(notebook.is_file(), f"_toc.yml lists chapter {name!r}, but there is no {notebook}")
        out = folder / notebook.name
        executed.append(out)
        if out.is_file() and _matches(out.with_suffix(".key"), _chapter_key(notebook, store, code)):
            _say(f"[{number}/{len(names)}] {name}: up to date")
            continue
        _say(f"[{number}/{len(names)}] {name}: executing in the {profile} profile")
        _execute(notebook, out, {"profile": profile, "run_missing": run_missing})
    # Only now: a chapter may have added to the store that an earlier one read.
    for out in executed:
        notebook = paths.root() / "notebooks" / out.name
        write_file(out.with_suffix(".key"), _chapter_key(notebook, store, code))
    return executed


def build_book(
    profile: str, run_missing: bool | None = None, *, work: Path | None = None, fresh: bool = False
) -> Path:
    """Execute the chapters (:func:`execute_chapters`), build the site and return its first page.

    Raises :class:`HmlcoreError` with Sphinx's warnings where the build has any.
    """
    work = (work or workspace(profile)).resolve()
    run_missing = profile == _EPHEMERAL if run_missing is None else run_missing
    chapters = execute_chapters(profile, run_missing, work=work, fresh=fresh)
    if run_missing:  # otherwise the figures beside the stored results are those of the store
        _say("figures: drawing from the store")
        for notice in export_all(Store(paths.results()), profile, images=False).notices:
            _say(f"notice: {notice}")
    store = paths.results() / profile
    source, html = work / "src", work / "html"
    _stage(source, chapters, captions(profile))
    shown = (*store.glob("figures/*.json"), *store.glob("*.json"), paths.root() / "package-lock.json")
    has_scripts = str((paths.root() / "node_modules" / "mathjax").is_dir())
    key = _hash(_code_key(), has_scripts, *_files(source), *shown)
    index, stamp = html / "index.html", work / "html.key"
    if index.is_file() and _matches(stamp, key):
        _say("pages: up to date")
        return index
    _say(f"pages: building with Jupyter Book ({len(chapters)} executed chapters)")
    stamp.unlink(missing_ok=True)
    _jupyter_book(source, html, profile, log=work / "book.log")
    write_file(stamp, key)
    return index


def commit_chapters(profile: str = "laptop") -> list[Path]:
    """Execute the chapters and copy them to ``book/chapters``; return the files that changed."""
    target = paths.root() / "book" / "chapters"
    target.mkdir(exist_ok=True)
    changed = []
    for chapter in execute_chapters(profile):
        out = target / chapter.name
        if not out.is_file() or out.read_bytes() != chapter.read_bytes():
            write_file(out, chapter.read_bytes())
            changed.append(out)
    return changed


def normalise(notebook):
    """Strip from an executed notebook what differs from run to run, and hide its parameters.

    `notebook` is an nbformat node, changed in place and returned.  Cell ids are numbered, timings,
    progress bars (standard error) and version numbers go, random widget ids become counters; cells
    tagged ``parameters`` or ``injected-parameters`` get ``remove-cell``, which Jupyter Book hides.
    """
    import nbformat

    info = notebook.metadata.get("language_info", {})
    info.pop("version", None)
    kept = ("kernelspec", "language_info", "widgets")
    notebook.metadata = nbformat.from_dict({k: notebook.metadata[k] for k in kept if k in notebook.metadata})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        cell.metadata = nbformat.from_dict({k: cell.metadata[k] for k in _KEPT_METADATA if k in cell.metadata})
        tags = cell.metadata.get("tags", [])
        if set(tags) & set(_HIDDEN_TAGS) and "remove-cell" not in tags:
            cell.metadata["tags"] = [*tags, "remove-cell"]
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    text = nbformat.writes(notebook)
    widgets = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    for number, model in enumerate(widgets.get("state", {})):
        text = text.replace(model, f"{number:032x}")
    return nbformat.reads(text, as_version=4)


def _empty(store: Path, profile: str) -> None:
    """Delete a profile's results, and the checkpoints from which unfinished runs would go on."""
    if store.exists():
        _say(f"emptying {store}: its results are to be made afresh")
        shutil.rmtree(store)
    for name in experiments():
        for spec in protocol(name).grid(profile):
            checkpoint_path(spec).unlink(missing_ok=True)


def _execute(notebook: Path, out: Path, parameters: dict) -> None:
    """Run one notebook in a new kernel; the copy appears at `out` only when it ran to its end."""
    import nbformat
    import papermill
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    partial = out.with_suffix(".partial.ipynb")
    try:
        executed = papermill.execute_notebook(
            str(notebook),
            str(partial),
            parameters,
            kernel_name="python3",
            language="python",
            cwd=str(paths.root()),
        )
    except papermill.PapermillExecutionError as error:
        first = next((line for line in error.source.splitlines() if line.strip()), "")
        raise HmlcoreError(
            f"chapter {notebook.stem} failed in cell {error.exec_count} ({first.strip()!r}): "
            f"{error.ename}: {_plain(error.evalue)}\nexecuted so far: {partial}"
        ) from error
    except (CellExecutionError, DeadKernelError, RuntimeError) as error:
        raise HmlcoreError(f"chapter {notebook.stem} could not be executed: {_plain(str(error))}") from error
    write_file(out, nbformat.writes(normalise(executed)) + "\n")
    partial.unlink()


def _stage(source: Path, chapters: list[Path], words: dict[str, str]) -> None:
    """Copy the book's sources to `source`, with these executed chapters in place of the committed, and captions
    from the stored figures."""
    root = paths.root()
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "book", source / "book", ignore=shutil.ignore_patterns("chapters", "__pycache__"))
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(root / name, source)
    (source / "book" / "chapters").mkdir()
    for chapter in chapters:
        (source / "book" / "chapters" / chapter.name).write_text(captioned(chapter, words), "utf-8")


def captions(profile: str) -> dict[str, str]:
    """The caption of every figure that is stored at `profile`."""
    path = paths.results() / profile / "sources.json"
    require(path.is_file(), f"there is no {path}; make it with: hml figures --profile {profile}")
    return {name: entry["caption"] for name, entry in json.loads(path.read_text("utf-8"))["figures"].items()}


def captioned(chapter: Path, words: dict[str, str]) -> str:
    """The text of an executed chapter in which every cell that names a stored figure has its caption.

    Args: words, figure → caption.
    Raises: HmlcoreError where a cell names a figure that is not among them.
    """
    import nbformat

    notebook = nbformat.read(chapter, as_version=4)
    for cell in notebook.cells:
        if name := cell.metadata.pop("figure", None):
            require(name in words, f"chapter {chapter.stem} shows figure {name!r}, which is not stored")
            label = cell.metadata.pop("label", f"fig-{name.replace('_', '-')}")
            cell.metadata["mystnb"] = {"figure": {"name": label, "caption": words[name]}}
    return nbformat.writes(notebook) + "\n"


def _jupyter_book(source: Path, html: Path, profile: str, log: Path) -> None:
    """Build `source` from nothing with every warning an error, then put the pages at `html`."""
    command = [str(Path(sys.executable).parent / "jupyter-book"), "build", ".", "-W", "-n", "--keep-going"]
    environment = os.environ | {
        "HMLCORE_HOME": str(paths.root()),
        "HMLCORE_RESULTS": str(paths.results()),
        "HMLCORE_BOOK_PROFILE": profile,
    }
    done = subprocess.run(
        command, cwd=source, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    log.write_text(done.stdout, "utf-8")
    lines = _plain(done.stdout).splitlines()
    if done.returncode:
        found = [line for line in lines if re.search(r"WARNING|ERROR|Error", line)] or lines[-15:]
        raise HmlcoreError("the pages could not be built:\n" + "\n".join(found[:40]) + f"\nfull log: {log}")
    for line in lines:
        if line.startswith("notice:"):
            _say(line)
    shutil.rmtree(html, ignore_errors=True)
    shutil.move(source / "_build" / "html", html)
    shutil.rmtree(source / "_build")


def _code_key() -> str:
    """Hash of what makes a result besides its notebook and store: the package and its versions."""
    return _hash(sys.version, paths.root() / "constraints.txt", *_files(Path(__file__).parent, "*.py"))


def _chapter_key(notebook: Path, store: Path, code: str) -> str:
    return _hash(code, str(store), notebook, *_files(store, "*.parquet"))


def _files(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(p for p in folder.rglob(pattern) if p.is_file() and "__pycache__" not in p.parts)


def _hash(*parts: str | Path) -> str:
    """SHA-256 over texts and over files (name and content; an absent file counts as empty)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            content = part.read_bytes() if part.is_file() else b""
            digest.update(part.name.encode() + b"\0" + hashlib.sha256(content).digest())
        else:
            digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def _matches(stamp: Path, key: str) -> bool:
    return stamp.is_file() and stamp.read_text() == key


def _plain(text: str) -> str:
    """`text` without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _say(line: str) -> None:
    print(line, flush=True)
