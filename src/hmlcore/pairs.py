"""Pairs of a script and a notebook with the same cells: the ``.py`` is edited, its ``.ipynb`` follows.

Which of them was edited is told by what they hold, never by their times, which a checkout or a stash changes.
"""

import hashlib
import json
from pathlib import Path

from hmlcore.errors import HmlcoreError
from hmlcore.files import listed, write_file
from hmlcore.manifest import Manifest
from hmlcore.notebooks import KEPT_METADATA
from hmlcore.results.provenance import git

_Cells = list[tuple]


def sync_pairs(folder: Path, made: Manifest) -> list[Path]:
    """Renew every notebook of `folder` whose script has other cells; returns those.

    A notebook is written over only where nothing is lost by that: its cells are the committed ones, or those
    that its script had when they were last synced, and the script was edited since.

    Args:
        made: where a hash of each notebook is kept as it was synced.

    Raises: HmlcoreError, with nothing written, where a notebook has cells of its own; both are shown.
    """
    import jupytext

    pairs = {script: script.with_suffix(".ipynb") for script in listed(folder, "*.py")}
    cells = {path: _cells(jupytext.read(path)) for pair in pairs.items() for path in pair if path.exists()}
    edited = [script for script, notebook in pairs.items() if cells.get(notebook) != cells[script]]
    for script in edited:
        if pairs[script] in cells:
            _check_nothing_is_lost(script, pairs[script], cells, _synced(made, pairs[script]))
    made.claim(*(f"{notebook.stem}.key" for notebook in pairs.values()))
    for script in edited:
        _renew(script)
    for script, notebook in pairs.items():
        write_file(made.folder / f"{notebook.stem}.key", _key(cells[script]))
    return [pairs[script] for script in edited]


def _check_nothing_is_lost(script: Path, notebook: Path, cells: dict[Path, _Cells], synced: str) -> None:
    committed = _committed(notebook)
    if cells[notebook] == committed or (_key(cells[notebook]) == synced and cells[script] != committed):
        return
    ours = [cell for cell in cells[script] if cell not in cells[notebook]]
    theirs = [cell for cell in cells[notebook] if cell not in cells[script]]
    raise HmlcoreError(
        f"{notebook.name} was edited and {script.name} has other cells, so neither is written over; "
        f"only in {script.name}: {_shown(ours)}; only in {notebook.name}: {_shown(theirs)}; "
        f"to keep the notebook's: jupytext --to py:percent {notebook}; "
        f"to keep the script's: jupytext --to ipynb --update {script}"
    )


def _shown(cells: _Cells) -> str:
    """The first lines of cells, as text."""
    return ", ".join(repr(next(iter(source.splitlines()), "")) for _, source, _ in cells[:5]) or "their order"


def _cells(notebook) -> _Cells:
    """What a pair shares: kind, source and metadata of each cell."""
    return [
        (c.cell_type, c.source, {k: c.metadata[k] for k in KEPT_METADATA if k in c.metadata})
        for c in notebook.cells
    ]


def _key(cells: _Cells) -> str:
    return hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()


def _synced(made: Manifest, notebook: Path) -> str:
    """The hash of a notebook as it was last synced, nothing if it never was."""
    key = made.folder / f"{notebook.stem}.key"
    return key.read_text("utf-8", "replace") if key.name in made.names() and key.is_file() else ""


def _committed(notebook: Path) -> _Cells | None:
    """The cells that Git has of it, None where it has none."""
    import nbformat

    text = git(notebook.parent, "show", f"HEAD:./{notebook.name}")
    return None if text is None else _cells(nbformat.reads(text, as_version=4))


def _renew(script: Path) -> None:
    """Give the notebook the script's cells; what it has beside them, as the ids of equal ones, stays."""
    from jupytext.cli import jupytext

    jupytext(["--quiet", "--to", "ipynb", "--update", str(script)])
