"""The explorers' front end as one file: an ES module for notebooks, a plain script for pages opened from disk.

The sources in ``js/`` are ES modules that name what they take in one-line or bracketed imports of each other.
Browsers load no module from a file system, so a page gets the same text as one script. Needs no torch.
"""

import re
from functools import cache
from importlib import resources

from hmlcore.errors import require

_IMPORT = re.compile(r"^import \{([^}]*)\} from \"\./([\w-]+)\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|function|class|async function) (\w+))", re.MULTILINE)
_NOTE = re.compile(r"^\s*(?://.*|/\*\*.*\*/)?\n|^ +", re.MULTILINE)
_NAMED = re.compile(r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", re.MULTILINE)
ENTRY = "index"


@cache
def _texts(kinds: tuple[str, ...] = ()) -> dict[str, str]:
    """Name → source, each after those that it imports; of the explorers only `kinds`, or all."""
    folder, found = resources.files("hmlcore.explorers") / "js", {}

    def visit(name: str) -> None:
        if name in found:
            return
        text = (folder / f"{name}.js").read_text("utf-8")
        if name == ENTRY and kinds:
            text = _only(text, kinds)
        for other in (match[2] for match in _IMPORT.finditer(text)):
            visit(other)
        found[name] = text

    visit(ENTRY)
    return found


def _only(index: str, kinds: tuple[str, ...]) -> str:
    """The entry without the explorers that are not among `kinds`: each is NAMEExplorer of NAME.js there."""
    for name in set(re.findall(r"^import \{ (\w+)Explorer \}", index, re.MULTILINE)) - set(kinds):
        index = re.sub(
            rf"^import \{{ {name}Explorer \}}.*\n| {name}: {name}Explorer,", "", index, flags=re.MULTILINE
        )
    return index


@cache
def _joined(kinds: tuple[str, ...] = ()) -> tuple[str, tuple[str, ...]]:
    """All sources in one scope, and what they export."""
    names: list[str] = []
    taken: set[str] = set()
    parts = []
    for name, text in _texts(kinds).items():
        own = set(_NAMED.findall(text))
        twice = ", ".join(sorted(own & taken))
        require(not twice, f"js/{name}.js names {twice}, and so does another file: they share a scope")
        taken |= own
        names += _EXPORT.findall(text)
        # Notes and indentation stay behind: every page carries this text.
        parts.append(f"// {name}.js\n{_NOTE.sub('', _EXPORT.sub('', _IMPORT.sub('', text)))}")
    return "\n".join(parts), tuple(names)


def es_module() -> str:
    """One ES module: every export by name, and as its default what anywidget asks for, ``{render}``."""
    text, names = _joined()
    return f"{text}\nexport {{ {', '.join(names)} }};\nexport default {{ render }};\n"


def script(kinds: tuple[str, ...] = ()) -> str:
    """The same as a script, of some explorers or of all: it leaves ``globalThis.hmlExplorers`` and opens those
    that the page holds."""
    text, names = _joined(kinds)
    exported = f"globalThis.hmlExplorers = {{ {', '.join(names)} }};"
    return f'(() => {{\n"use strict";\n{text}\n{exported}\nstart();\n}})();\n'
