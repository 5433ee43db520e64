"""Whether the project did what its roadmap calls success: computed from the store and from files, never typed.

*met*, *not met*, or *waits* where runs or a build are still to come.
"""

import re
from typing import NamedTuple

import pandas as pd

from hmlcore import paths
from hmlcore.book import paper_pdf
from hmlcore.errors import HmlcoreError, require
from hmlcore.files import listed
from hmlcore.paper.asked import asked_by, without_comments
from hmlcore.paper.build import faults
from hmlcore.results import Store
from hmlcore.studies import experiments_named, get_experiment
from hmlcore.studies.export import claims, dated, figures, tables
from hmlcore.studies.kit.claim import CONFIRMED
from hmlcore.studies.kit.study import check_profile

MET, NOT_MET, WAITS = "met", "not met", "waits"
LONG = ("copy", "needle", "books")
"""The families of `fair` whose answers hang on what was read long before."""
SECTIONS = ("Introduction", "Related work", "Experiments", "Limits", "Reproducibility", "Proofs")
"""Without which a draft is not complete."""
PROPOSITION = r"\begin{proposition}"
PARTS = {
    "proposal": "book/proposal.md", "roadmap": "book/roadmap.md", "code": "src/hmlcore",
    "paper": "paper/main.tex", "licence": "LICENSE", "citation": "CITATION.cff",
}  # fmt: skip
"""Part of the repository → where it lies."""


class Criterion(NamedTuple):
    """A criterion of success, whether it is met, and what that was read from."""

    criterion: str
    verdict: str
    evidence: str


def criteria(profile: str) -> pd.DataFrame:
    """The roadmap's three criteria, a row each.

    Raises: HmlcoreError for an unknown profile, or outside a checkout.
    """
    check_profile(profile)
    return pd.DataFrame([plot(profile), draft(profile), repository(profile)])


def plot(profile: str) -> Criterion:
    """Met: in a family of :data:`LONG` the claim is confirmed that HML is no worse than any other bounded
    memory, so that the scoreboard is such a plot. Not met: they are decided, and none is. Else it waits."""
    words = "a plot in which HML is comparable or better on long-context tasks"
    store, experiment = Store(paths.results()), "fair"
    if not store.has_any(profile, experiment):
        return Criterion(words, WAITS, f"no runs of {experiment} at the {profile} profile yet")
    results = get_experiment(experiment).load(store, profile)
    names = {f"{experiment}.not_worse_in_{family}": family for family in LONG}
    try:
        found = [claim.decide(results) for claim in claims() if claim.name in names]
    except HmlcoreError as error:
        return Criterion(words, WAITS, f"the runs of {experiment} do not suffice yet: {error}")
    rules = dated([(results, decided) for decided in found], store)
    told = [f"{names[d.name]}: {rule.beside(d.verdict)}" for d, rule in zip(found, rules, strict=True)]
    met = any(decided.verdict == CONFIRMED for decided in found)
    return Criterion(words, MET if met else NOT_MET, "; ".join(told))


def draft(profile: str) -> Criterion:
    """Met: the source has all :data:`SECTIONS`, a proof of every proposition and no unknown citation, the store
    has what it shows, and the PDF that lies built is as a paper must be. What lacks only runs or a build waits;
    all else is not met."""
    words, text = "a complete paper draft", source()
    wrong, lacking, waits = in_source(text), waits_for(text, profile), []
    if lacking:
        waits.append(f"waits for the runs of {', '.join(lacking)}")
    if not paper_pdf(profile).is_file():
        waits.append("not built here")
    else:
        found = faults(profile)
        waits += [line for line in found if line.startswith("stale")][:1]
        wrong += [line for line in found if not line.startswith("stale")]
    verdict = NOT_MET if wrong else WAITS if waits else MET
    whole = f"{len(SECTIONS)} sections, {text.count(PROPOSITION)} propositions with proofs, citations known"
    return Criterion(words, verdict, "; ".join([*(wrong or [whole]), *waits]))


def repository(profile: str) -> Criterion:
    """Met: every one of :data:`PARTS` is there, and results at `profile`. Who can reach it, no file tells."""
    words, root = "an open repository with proposal, roadmap, code and results", paths.project()
    lacking = [part for part, place in PARTS.items() if not (root / place).exists()]
    stored = [path for path in listed(paths.results() / profile, "*.parquet") if ".traces" not in path.name]
    lacking += [] if stored else ["results"]
    if lacking:
        return Criterion(words, NOT_MET, f"there is no {', no '.join(lacking)}")
    return Criterion(words, MET, f"{', '.join(PARTS)}, and results of {len(stored)} experiments")


def source() -> str:
    """The paper's source. Raises: HmlcoreError where there is none."""
    path = paths.project() / PARTS["paper"]
    require(path.is_file(), f"there is no {path}, the paper's source")
    return path.read_text("utf-8")


def in_source(text: str) -> list[str]:
    """What the paper's source lacks: sections, proofs, entries of the bibliography."""
    text = without_comments(text)
    found = set(re.findall(r"\\section\*?\{([^{}]*)\}", text))
    wrong = [f"there is no section {name}" for name in SECTIONS if name not in found]
    for label, proved in _propositions(text).items():
        wrong += [] if proved else [f"proposition {label} has no proof"]
    bibliography = (paths.project() / "book" / "references.bib").read_text("utf-8")
    known = set(re.findall(r"^@\w+\{([^,\s]+),", bibliography, re.MULTILINE))
    cited = [key.strip() for group in re.findall(r"\\cite[a-z]*\{([^{}]+)\}", text) for key in group.split(",")]
    return wrong + [f"unknown citation {key}" for key in dict.fromkeys(cited) if key not in known]


def _propositions(text: str) -> dict[str, bool]:
    """Label → whether a proof follows it at once, or one elsewhere names it."""
    ends = r"\\end\{proposition\}\s*(\\begin\{proof\})?"
    found = re.findall(r"\\label\{(prop:[^{}]+)\}.*?" + ends, text, re.DOTALL)
    named = set(re.findall(r"\\begin\{proof\}\[Proof of [^\]]*\\ref\{(prop:[^{}]+)\}", text))
    return {label: bool(at_once) or label in named for label, at_once in found}


def waits_for(text: str, profile: str) -> list[str]:
    """The experiments that the paper of source `text` shows and the store has no runs of."""
    asked, store = asked_by(text), Store(paths.results())
    wanted = [figures()[name].experiment for name in asked["figure"]]
    wanted += [tables()[name].experiment for name in asked["table"]] + asked["status"]
    claiming = {claim.experiment for claim in claims()}
    for name in asked["verdicts"]:
        wanted += [e.name for e in experiments_named(name) if e.name in claiming]
    return [name for name in dict.fromkeys(wanted) if not store.has_any(profile, name)]
