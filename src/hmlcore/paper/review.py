"""What a paper must be before it is shown: compiled whole, within pages and margins, drawn from this store."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from hmlcore.files import read_json
from hmlcore.paper.asked import FOLDER, read_by

PAGES = (4, 6)
"""Of the main text."""
END = "end-of-main-text"
r"""The ``\label`` at its end."""
WIDEST = 5.0
"""Points by which a line may stick out."""
RECORD = f"{FOLDER}/made.json"
"""What was made from the store, by which key, and the hash of each file."""

_OVERFULL = re.compile(r"^Overfull \\[hv]box \(([\d.]+)pt too (?:wide|high)\)\s*(.*)$", re.M)
_MISSING = re.compile(r"File [`']([^']+)' not found")


def record_of(key: str, files: Mapping[str, bytes]) -> str:
    """The record of `files`, name → content."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return json.dumps({"key": key, "files": hashes}, indent=1, sort_keys=True) + "\n"


def recorded(folder: Path) -> tuple[str, dict[str, str]]:
    """The key and the hashes of what was made below `folder`; of nothing, where there is no record."""
    try:
        found = read_json(folder / RECORD)
        return found["key"], found["files"]
    except (OSError, ValueError, LookupError, TypeError):
        return "", {}


def is_intact(folder: Path, key: str) -> bool:
    """Whether all that was made below `folder` was made by `key`, and nobody changed it since."""
    made_by, hashes = recorded(folder)
    return made_by == key and all(_hash(folder / name) == known for name, known in hashes.items())


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def all_read(folder: Path) -> list[str]:
    """Every file that ``main.tex`` in `folder` reads, and that those read in turn."""
    found, waiting = [], read_by((folder / "main.tex").read_text("utf-8"))
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            if name.endswith(".tex") and (folder / name).is_file():
                waiting += read_by((folder / name).read_text("utf-8"))
    return found


def missing_files(log: str) -> list[str]:
    """Files that LaTeX looked for and did not find."""
    return list(dict.fromkeys(_MISSING.findall(log)))


def failure(log: str) -> list[str]:
    """Why there is no PDF: the errors of the log, else its end."""
    lines = log.splitlines()
    at = [n for n, line in enumerate(lines) if line.startswith("!") or re.match(r"error:", line)]
    said = [" ".join([lines[n], *(x for x in lines[n + 1 : n + 8] if x.startswith("l."))]) for n in at]
    lacking = [f"there is no {name}" for name in missing_files(log)]
    return lacking or said or lines[-5:]


def in_log(log: str) -> list[str]:
    """References and citations that lead nowhere, and boxes that stick out."""
    found = []
    for name in dict.fromkeys(re.findall(r"Citation [`']([^']+)' .*undefined", log)):
        found.append(f"unknown citation {name}: book/references.bib has no such entry")
    for name in dict.fromkeys(re.findall(r"Reference [`']([^']+)' .*undefined", log)):
        found.append(rf"undefined reference {name}: there is no \label of that name")
    for size, where in _OVERFULL.findall(log):
        if float(size) > WIDEST:
            found.append(f"a box sticks out by {float(size):.1f} pt ({where.strip() or 'no line is told'})")
    return found


def in_length(aux: str) -> list[str]:
    """Whether the main text has its number of pages."""
    found = re.search(rf"\\newlabel\{{{END}\}}\{{\{{[^{{}}]*\}}\{{(\d+)\}}", aux)
    if found is None:
        return [rf"the end of the main text is not marked: it needs \label{{{END}}}"]
    low, high, pages = *PAGES, int(found[1])
    if low <= pages <= high:
        return []
    return [f"the main text has {pages} pages where {low} to {high} are allowed: shorten or lengthen it"]


def in_freshness(folder: Path, key: str) -> list[str]:
    """Whether every file that is read was made from the store as it is now, whose key is `key`."""
    made_by, hashes = recorded(folder)
    found = []
    for name in all_read(folder):
        if name not in hashes:
            ask = r"\hmlfigure{NAME} shows a stored figure"
            found.append(f"{name} is not made from the store: the paper shows nothing else ({ask})")
        elif _hash(folder / name) != hashes[name]:
            found.append(f"stale: {name} is not what was made from the store; run hml paper again")
    if made_by != key:
        found.append("stale: the store or the code changed since figures were drawn; run hml paper again")
    return found
