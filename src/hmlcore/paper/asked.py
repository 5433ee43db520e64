r"""What the paper's source asks of the store, and which files it reads.

\hmlfigure{NAME}  \hmltable{NAME}   a figure or table of the studies, floating
\hmlstatus{EXPERIMENT}              a clause: how many runs there are, or "not measured yet"
\hmlverdicts{EXPERIMENT}            its claims and what became of them
\hmlrules{EXPERIMENT}               the same with every rule in words, and the evidence
\hmlvalue{NAME}                     a constant of the rules, or EXPERIMENT.NUMBER out of the store
\hmlsummary  \hmlsources            what became of all these claims; where each figure and table came from
"""

import re

from hmlcore.errors import require, unknown
from hmlcore.studies import experiments, experiments_named
from hmlcore.studies.export import figures, tables

FOLDER = "generated"
"""Where everything lies that is made from the store, beside the source."""

_COMMENT = re.compile(r"(?<!\\)%.*")
_CALL = re.compile(r"\\hml(figure|table|status|verdicts|rules|value)\{([^{}#]+)\}")
_READ = re.compile(r"\\(?:input|include|includegraphics)\s*(?:\[[^]]*\])?\s*\{([^{}#]+)\}")
_FILES = {"figure": "figure", "table": "table", "verdicts": "verdicts", "rules": "rules"}

Asked = dict[str, list[str]]
"""Kind of product → the names that are asked for, each once, in the order of the source."""


def without_comments(text: str) -> str:
    """LaTeX without what it does not read."""
    return _COMMENT.sub("", text)


def asked_by(text: str) -> Asked:
    """What the source `text` asks for.

    Raises: HmlcoreError for a figure, table or experiment that no study has, with the known ones.
    """
    found: Asked = {kind: [] for kind in ("figure", "table", "status", "verdicts", "rules", "value")}
    for kind, name in _CALL.findall(without_comments(text)):
        if name not in found[kind]:
            found[kind].append(name)
    for kind, known in (("figure", figures()), ("table", tables())):
        for name in found[kind]:
            if name not in known:
                raise unknown(f"{kind} in paper/main.tex", name, known)
    for name in found["status"]:
        if name not in experiments():
            raise unknown("experiment in paper/main.tex", name, experiments())
    for name in (*found["verdicts"], *found["rules"]):
        experiments_named(name)
    require(any(found.values()), "paper/main.tex asks for nothing out of the store: is it the paper's source?")
    return found


def read_by(text: str) -> list[str]:
    r"""The files that LaTeX reads for `text`: by ``\input``, ``\includegraphics`` and the paper's macros."""
    text = without_comments(text)
    files = [f"{FOLDER}/{_FILES[kind]}-{name}.tex" for kind, name in _CALL.findall(text) if kind in _FILES]
    files += [f"{FOLDER}/{name}.tex" for name in ("summary", "sources") if rf"\hml{name}" in text]
    for name in _READ.findall(text):
        files.append(name if "." in name.rpartition("/")[2] else f"{name}.tex")
    return list(dict.fromkeys(files))
