"""What stands between the paper and a preprint server, step by step. Nothing here submits anything."""

import importlib.metadata
import re
import tarfile
from typing import NamedTuple

import pandas as pd

from hmlcore import paths
from hmlcore.book import paper_pdf
from hmlcore.paper.build import BUNDLE, faults
from hmlcore.paper.criteria import source, waits_for
from hmlcore.studies.kit.study import check_profile

DONE, TO_DO, BY_HAND = "done", "to do", "by hand"
BY_PEOPLE = (
    "an account at the server and, where its field asks for one, an endorsement",
    "a category, a title and an abstract in the server's form, and its licence chosen",
    "the bundle uploaded, the server's PDF read page by page, and submitted",
)
"""What no program here does, or knows to be done."""


class Step(NamedTuple):
    """A step, whether it is done, and what says so."""

    step: str
    state: str
    evidence: str


def steps(profile: str) -> pd.DataFrame:
    """The steps in their order, a row each.

    Raises: HmlcoreError for an unknown profile, or where the paper has no source.
    """
    check_profile(profile)
    text = source()
    found = [
        _runs(text, profile),
        _built(profile),
        _packed(text, profile),
        _authors(text),
        _address(),
        _tagged(),
    ]
    return pd.DataFrame([*found, *(Step(words, BY_HAND, "–") for words in BY_PEOPLE)])


def _runs(text: str, profile: str) -> Step:
    lacking = waits_for(text, profile)
    return Step("all runs that the paper shows", TO_DO if lacking else DONE, ", ".join(lacking) or "stored")


def _built(profile: str) -> Step:
    words = "the paper compiles and is as a paper must be: hml paper"
    if not paper_pdf(profile).is_file():
        return Step(words, TO_DO, "no PDF here")
    found = faults(profile)
    return Step(words, TO_DO if found else DONE, "; ".join(found) or "checked")


def _packed(text: str, profile: str) -> Step:
    words, bundle = "the bundle compiles alone: hml arxiv", paper_pdf(profile).parents[1] / BUNDLE
    try:
        with tarfile.open(bundle) as packed:
            member = packed.extractfile("main.tex")
            held = member.read().decode() if member else ""
    except (OSError, tarfile.TarError, KeyError):
        return Step(words, TO_DO, "no bundle here")
    same = held == text
    return Step(words, DONE if same else TO_DO, "of this source" if same else "of an older source")


def _authors(text: str) -> Step:
    found = re.search(r"\\author\{([^{}]*)\}", text)
    named = found[1] if found else "nobody"
    people = found is not None and "authors" not in named
    return Step("people as authors, in paper and citation", DONE if people else TO_DO, named)


def _address() -> Step:
    cited = (paths.project() / "CITATION.cff").read_text("utf-8")
    found = re.search(r"^repository-code: (\S+)", cited, re.MULTILINE)
    words = "the repository's address in CITATION.cff"
    return Step(words, DONE if found else TO_DO, found[1] if found else "none yet")


def _tagged() -> Step:
    version = importlib.metadata.version("hmlcore")
    released = re.fullmatch(r"\d+(\.\d+)*", version) is not None
    return Step("a release with a tag of its own", DONE if released else TO_DO, f"installed: {version}")
