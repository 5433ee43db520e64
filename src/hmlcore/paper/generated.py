"""The files of the paper that are made from the store: figures, tables, verdicts, numbers, each by its name.

Where the store has no results yet, the same file says so; nothing that is written by hand depends on it.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import plotly.io

from hmlcore.errors import require, unknown
from hmlcore.figures.images import draw_images
from hmlcore.paper.asked import FOLDER, Asked
from hmlcore.paper.constants import constants
from hmlcore.paper.tables import fitted_table
from hmlcore.paper.tex import code, escaped, signs
from hmlcore.paper.verdicts import Decided, rules, summary, verdicts
from hmlcore.results import Store
from hmlcore.studies import get_experiment
from hmlcore.studies.export import export_all, figures, tables

_FIGURE = r"""\begin{figure}[t]
\centering
%s
\caption{%s}
\label{fig:%s}
\end{figure}
"""
_WAITING = r"\fbox{\parbox{0.9\linewidth}{\centering\medskip %s\medskip}}"
_IMAGE = r"\includegraphics[width=\linewidth,height=0.48\textheight,keepaspectratio]{%s}"

# Sentences about what can be done with a figure on a page, and cannot in print.
_CONTROLS = re.compile(r"(?<=[.:;]) (?:Buttons|The slider|The hover text|Move the slider)[^.]*\.")


class Stored(NamedTuple):
    """What `hml figures` says of the results at one profile."""

    profile: str
    sources: dict
    numbers: dict[str, str]
    decided: list[Decided]
    folder: Path

    def waits(self, experiment: str) -> str:
        """That an experiment is not measured yet, and what would do it."""
        command = code(f"hml run {experiment} --profile {self.profile}")
        return rf"Not measured yet at the {self.profile} profile: {command}."


def generate(asked: Asked, store: Store, profile: str) -> dict[str, bytes]:
    """Name → content of every file that was asked for, from what `store` has at `profile`.

    Raises: HmlcoreError where figures cannot be drawn for want of a Chromium, or a text cannot be set.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        export_all(store, profile, folder, images=False)
        read = {
            name: json.loads((folder / f"{name}.json").read_bytes())
            for name in ("sources", "numbers", "claims")
        }
        claimed = [Decided(**entry) for entry in read["claims"]["claims"]]
        stored = Stored(profile, read["sources"], read["numbers"], claimed, folder)
        made: dict[str, str | bytes] = _images(
            [n for n in asked["figure"] if n in stored.sources["figures"]], folder
        )
        made |= {f"figure-{name}.tex": _figure(name, stored) for name in asked["figure"]}
        made |= {f"table-{name}.tex": _table(name, stored) for name in asked["table"]}
        made |= {f"verdicts-{name}.tex": verdicts(name, claimed) for name in asked["verdicts"]}
        made |= {f"rules-{name}.tex": rules(name, claimed) for name in asked["rules"]}
        made |= {"values.tex": _values(asked, stored), "sources.tex": _sources(asked, stored)}
        made["summary.tex"] = summary(asked["verdicts"], claimed)
    content = {name: text if isinstance(text, bytes) else text.encode() for name, text in made.items()}
    return {f"{FOLDER}/{name}": text for name, text in content.items()}


def _images(names: list[str], folder: Path) -> dict[str, str | bytes]:
    drawn: dict[str, Any] = {name: plotly.io.read_json(folder / "figures" / f"{name}.json") for name in names}
    if not drawn:
        return {}
    images, notices = draw_images(drawn, ("pdf",))
    require(len(images) == len(drawn), f"the paper's figures cannot be drawn: {'; '.join(notices)}")
    return dict(images)


def _figure(name: str, stored: Stored) -> str:
    if name in stored.sources["figures"]:
        caption = _CONTROLS.sub("", stored.sources["figures"][name]["caption"])
        caption = escaped(caption, f"the caption of {name}")
        return _FIGURE % (_IMAGE % f"{FOLDER}/{name}.pdf", caption, name)
    experiment = figures()[name].experiment
    return _FIGURE % (_WAITING % stored.waits(experiment), _question(name, experiment), name)


def _table(name: str, stored: Stored) -> str:
    if name in stored.sources["tables"]:
        latex = (stored.folder / "tables" / f"{name}.tex").read_text("utf-8")
        return fitted_table(signs(latex, f"table {name}"), name)
    experiment = tables()[name].experiment
    text = _FIGURE % (_WAITING % stored.waits(experiment), _question(name, experiment), name)
    return text.replace("{figure}[t]", "{table}[tbp]").replace("{figure}", "{table}").replace("{fig:", "{tab:")


def _question(name: str, experiment: str) -> str:
    words = name.replace("_", " ")
    return escaped(f"{words[0].upper()}{words[1:]}. {get_experiment(experiment).question}", name)


def _values(asked: Asked, stored: Stored) -> str:
    """A macro for every value and status; an experiment that is not stored has none yet, and that is said."""
    known, lines = constants(), {}
    for name in asked["value"]:
        experiment, _, number = name.partition(".")
        if name in known:
            lines[f"value@{name}"] = escaped(known[name], name)
        elif stored.sources["numbers"].get(number) == experiment:
            lines[f"value@{name}"] = escaped(stored.numbers[number], name)
        elif number and experiment not in stored.sources["results"]:
            get_experiment(experiment)
            lines[f"value@{name}"] = r"\emph{(not measured yet)}"
        else:
            numbers = (f"{of}.{number}" for number, of in stored.sources["numbers"].items())
            raise unknown("value in paper/main.tex", name, [*known, *numbers])
    lines |= {f"status@{name}": _status(name, stored) for name in asked["status"]}
    macros = [f"\\expandafter\\def\\csname hml@{name}\\endcsname{{{text}}}\n" for name, text in lines.items()]
    return "".join([*macros, f"\\def\\hmlprofile{{{stored.profile}}}\n"])


def _status(name: str, stored: Stored) -> str:
    found = stored.sources["results"].get(name)
    if found is None:
        return f"no runs of {code(name)} at the {stored.profile} profile: it is not measured yet"
    count = len(found["specs"])
    return f"{count} run{'s' * (count != 1)} of {code(name)} ({escaped(found['stamp'])})"


def _sources(asked: Asked, stored: Stored) -> str:
    lines = []
    for kind, label, known in (("figure", "fig", figures()), ("table", "tab", tables())):
        for name in asked[kind]:
            entry = stored.sources[f"{kind}s"].get(name)
            where, experiment = f"{kind.capitalize()}~\\ref{{{label}:{name}}}", known[name].experiment
            if entry is None:
                lines.append(f"\\item {where}, {code(name)}: {_status(experiment, stored)}.")
            else:
                lines.append(f"\\item {where}, by {code(entry['function'])}: {_status(experiment, stored)}.")
    return "\n".join([r"\begin{itemize}", *lines, r"\end{itemize}", ""]) if lines else ""
