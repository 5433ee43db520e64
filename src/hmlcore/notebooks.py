"""Notebooks: executed by papermill in a kernel of their own, and stripped of what differs from run to run."""

import html
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hmlcore import paths
from hmlcore.errors import HmlcoreError, require
from hmlcore.files import write_file
from hmlcore.optional import need

PARTIAL = ".partial.ipynb"
"""How the name of a notebook ends that was not executed to its end."""
ORIGIN = "hmlcore"
"""The notebook's metadata that say where it was executed: device, torch, commit, and dirty as of a run."""

_PACKAGES = ("nbformat", "nbclient", "papermill", "jupytext", "ipykernel")
# How the variables begin by which users, and programs around them, change what a kernel shows.
_OF_USERS = (
    "IPYTHON", "IPYKERNEL", "JUPYTER_", "PYTHONSTARTUP", "PYTHONOPTIMIZE", "PYDEVD_", "MPLBACKEND", "PLOTLY_",
    "VSCODE_", "COLAB_", "AZURE_NOTEBOOKS_", "NTERACT_", "COCALC_", "DATABRICKS_",
)  # fmt: skip
KEPT_METADATA = ("tags", "mystnb", "figure", "label")
_HIDDEN_TAGS = ("parameters", "injected-parameters")


def check_installed() -> None:
    """Raise HmlcoreError, before any work, where a package is absent that notebooks are read or executed by."""
    need("a chapter", "book", *_PACKAGES)


@contextmanager
def own_kernel() -> Iterator[None]:
    """Kernels started meanwhile are this Python's, without settings, start-up files and kernels of users."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
        }
        write_file(data / "kernels" / "python3" / "kernel.json", json.dumps(spec))
        for name in [name for name in before if name.startswith(_OF_USERS)]:
            del os.environ[name]
        os.environ |= {
            "IPYTHONDIR": str(Path(folder) / "ipython"),
            "JUPYTER_CONFIG_DIR": str(Path(folder) / "config"),
            "JUPYTER_DATA_DIR": str(data),
            "JUPYTER_PATH": str(data),
        }
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def execute(notebook: Path, out: Path, parameters: dict, origin: dict) -> None:
    """Run one notebook in a new kernel; the copy appears at `out` only when it ran to its end.

    Args: origin, where that is, which the copy keeps as its metadata :data:`ORIGIN`.
    """
    import nbformat
    import papermill
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    partial = out.with_suffix(PARTIAL)
    try:
        with own_kernel():
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
            f"{error.ename}: {plain(error.evalue)}; executed so far: {partial}"
        ) from error
    except (CellExecutionError, DeadKernelError, RuntimeError) as error:
        raise HmlcoreError(f"chapter {notebook.stem} could not be executed: {plain(str(error))}") from error
    executed = normalise(executed)
    executed.metadata[ORIGIN] = origin
    write_file(out, nbformat.writes(executed) + "\n")
    partial.unlink()


def normalise(notebook):
    """Strip from an executed notebook what differs from run to run, and hide its parameters.

    `notebook` is an nbformat node, changed in place and returned.  Cell ids are numbered, timings,
    progress bars (standard error), version numbers and :data:`ORIGIN` go, random widget ids become
    counters; cells tagged ``parameters`` or ``injected-parameters`` get ``remove-cell``, which Jupyter
    Book hides.
    """
    import nbformat

    info = notebook.metadata.get("language_info", {})
    info.pop("version", None)
    kept = ("kernelspec", "language_info", "widgets")
    notebook.metadata = _node({k: notebook.metadata[k] for k in kept if k in notebook.metadata})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        cell.metadata = _node({k: cell.metadata[k] for k in KEPT_METADATA if k in cell.metadata})
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


def _node(entries: dict) -> Any:
    """A node of nbformat: a dictionary whose entries are attributes too, which its types do not say."""
    import nbformat

    return nbformat.from_dict(entries)


def changed(chapter: Path, before: Path) -> bool:
    """Whether an executed chapter is another than the one at `before`, wherever both were executed."""
    import nbformat

    try:
        text = before.read_text("utf-8")
        origin = json.loads(text)["metadata"].get(ORIGIN)
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # absent, or no notebook
        return True
    notebook = nbformat.read(chapter, as_version=4)
    notebook.metadata.pop(ORIGIN, None)
    if origin is not None:
        notebook.metadata[ORIGIN] = origin
    return nbformat.writes(notebook) + "\n" != text


def for_page(chapter: Path, words: dict[str, str]) -> str:
    """The text of an executed chapter in which every cell that names a stored figure has its caption, and whose
    last line says where it was executed.

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
    if origin := notebook.metadata.get(ORIGIN):
        number = len(notebook.cells)
        notebook.cells.append(nbformat.v4.new_markdown_cell(_executed_on(**origin), id=f"cell-{number:03d}"))
    return nbformat.writes(notebook) + "\n"


def _executed_on(device: str, torch: str, commit: str, dirty: bool | None) -> str:
    """A small line of HTML."""
    where = "a CPU" if device == "cpu" else device
    since = {True: " with changes", False: "", None: ", perhaps with changes"}[dirty]
    source = "an unknown commit" if commit == "unknown" else f"commit {commit[:12]}{since}"
    line = f"The cells of this page were executed on {where}, with torch {torch}, at {source}."
    return f'<p class="hml-origin">{html.escape(line)}</p>'


def plain(text: str) -> str:
    """`text` without terminal colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
