"""Explorers in HTML: the element that a page holds, the scripts behind it, a whole page of one. No torch."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

from hmlcore.explorers.kinds import KINDS, kind
from hmlcore.explorers.models import packaged
from hmlcore.explorers.module import script
from hmlcore.files import write_file

SCRIPT = "hml-explorers.js"
"""With the explorers of models."""
PLAIN = "hml-explorers-plain.js"
"""With those that need none."""


def model_script(name: str) -> str:
    """The file of a model's script."""
    return f"hml-model-{name}.js"


def scripts(*names: str) -> dict[str, str]:
    """File → content of what explorers of these models need: the front end, and a script for each; where none
    is named, the front end of the explorers that need none."""
    kinds = tuple(kind for kind, own in KINDS.items() if bool(own.models) == bool(names))
    found = {SCRIPT if names else PLAIN: script(kinds)}
    for name, source in packaged(*names).items() if names else ():
        text = json.dumps(source.plain(), ensure_ascii=False)
        found[model_script(name)] = f"(globalThis.hmlModels ??= {{}})[{json.dumps(name)}] = {text};\n"
    return found


def at_once(name: str, models: Sequence[str]) -> Sequence[str]:
    """Those of `models` that the explorer needs to open; of the others each comes when somebody chooses it."""
    return models if name == "race" else models[:1]


def element(name: str, inside: str = "", **state: str | int | None) -> str:
    """The element of one explorer; `inside` is shown until the script opens it, and where scripts do not run.

    Args: state, text, models (names, a space between) and at (from 1) in place of the explorer's own; folder,
    with a slash at its end, from where models come that the page has not loaded.
    Raises: HmlcoreError for an unknown explorer.
    """
    own = kind(name)
    given = {"text": own.text, "models": " ".join(own.models), "at": own.at} | state
    if name == "store":
        given = {"data": "store"}
    told = "".join(
        f' data-{key}="{html.escape(str(value))}"' for key, value in given.items() if value is not None
    )  # fmt: skip
    return f'<div class="hml-explorer" data-explorer="{name}"{told}>{inside}</div>'


def store_script(data: str) -> str:
    """The script that brings the store browser its data, JSON of ``explorers.store.store_data``."""
    return f"(globalThis.hmlData ??= {{}}).store = {data};\n"


def whole_page(name: str, data: str = "") -> str:
    """One explorer as a page that needs no other file and no network; `data` is the store's script."""
    own = kind(name)
    texts = [data, *reversed(scripts(*own.models).values())]
    # "</" ends a script wherever it stands; in JavaScript "<\/" is the same text.
    parts = ["<script>" + text.replace("</", "<\\/") + "</script>" for text in texts if text]
    links = " · ".join(
        f"<strong>{other}</strong>" if other == name else f'<a href="{other}">{other}</a>' for other in KINDS
    )
    still = f"<noscript>{html.escape(own.caption)} This page draws it with scripts, which are off.</noscript>"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{html.escape(own.question)}</title><link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark }}
body {{ max-width: 62rem; margin: 0 auto; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; background: #fff;
  color: #222832 }}
@media (prefers-color-scheme: dark) {{ body {{ background: #14181e; color: #e6e6e6 }} a {{ color: #56B4E9 }} }}
nav {{ font-size: .9em }} h1 {{ font-size: 1.5em; margin: .4em 0 }}
</style></head>
<body><nav aria-label="Explorers">{links}</nav>
<h1>{html.escape(own.question)}</h1>
{element(name, still)}
{"".join(parts)}
</body></html>
"""


def write_scripts(folder: Path) -> list[str]:
    """Write the scripts of every explorer to `folder`; returns their names."""
    names = list(dict.fromkeys(model for own in KINDS.values() for model in own.models))
    found = scripts(*names) | scripts()
    for file, text in found.items():
        write_file(folder / file, text, durable=False)
    return list(found)
