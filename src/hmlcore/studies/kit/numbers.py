"""The numbers that running text quotes, by name: the book and the paper print these and no others."""

import json
import re
from collections.abc import Callable, Mapping

from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned

_LATEX = str.maketrans({"–": "--", "−": "$-$", "%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#"})
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")

Numbers = Callable[[ResultSet], Mapping[str, str]]
"""Results of one experiment, at the chosen learning rates → name → text."""


def numbers_of(results: ResultSet, collect: Numbers) -> dict[str, str]:
    """What `collect` says of `results`, under names that text can quote; what only diverged has no entry.

    Raises: HmlcoreError where learning rates cannot be compared yet.
    """
    found = collect(tuned(results))
    return {_name(key): value for key, value in found.items() if "nan" not in value}


def numbers_json(found: Mapping[str, str]) -> str:
    """The dictionary as a JSON file, sorted."""
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def numbers_tex(found: Mapping[str, str]) -> str:
    """One macro a number: ``recall_hml_best`` becomes ``\\hmlRecallHmlBest``, digits of names are spelled."""
    lines = []
    for name in sorted(found):
        words = (re.sub(r"\d", lambda digit: _DIGITS[int(digit[0])], word) for word in name.split("_"))
        macro = "hml" + "".join(word[:1].upper() + word[1:] for word in words)
        value = found[name].translate(_LATEX)
        lines.append(f"\\newcommand{{\\{macro}}}{{{value}}}\n")
    return "".join(lines)


def _name(key: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_")
