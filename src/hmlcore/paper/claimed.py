"""What became of the claims, as tables for pages: those of one study in words, those of all studies counted."""

from collections.abc import Sequence

import pandas as pd

from hmlcore.figures.tables import Table, render
from hmlcore.paper.verdicts import WAITS, Decided, pairs_of, sentence
from hmlcore.studies import studies
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED
from hmlcore.studies.kit.standing import EXPLORATORY


def claims_of(of: str, decided: Sequence[Decided]) -> pd.DataFrame:
    """A row a claim of an experiment or a study: claim, verdict, evidence; what waits for its runs says so.

    Raises: HmlcoreError for an unknown name.
    """
    lines = [
        {
            "claim": sentence(claim, found),
            "verdict": found.standing.beside(found.verdict) if found else WAITS,
            "evidence": found.evidence if found else "–",
        }
        for claim, found in pairs_of(of, decided)
    ]
    return pd.DataFrame(lines, columns=["claim", "verdict", "evidence"])


def counted(decided: Sequence[Decided]) -> pd.DataFrame:
    """A row a study that claims something, and "all": how many claims are confirmed, refuted, undecided or wait
    for runs, and how many of the verdicts are exploratory."""
    lines = []
    for study in studies().values():
        pairs = [pair for experiment in study.experiments for pair in pairs_of(experiment.name, decided)]
        found = [entry for _, entry in pairs if entry]
        line = {"question": study.question, "claims": len(pairs)}
        for verdict in (CONFIRMED, REFUTED, UNDECIDED):
            line[verdict] = sum(entry.verdict == verdict for entry in found)
        line[WAITS] = len(pairs) - len(found)
        line[EXPLORATORY] = sum(entry.standing.status == EXPLORATORY for entry in found)
        lines += [line] if pairs else []
    frame = pd.DataFrame(lines)
    frame.loc[len(frame)] = {"question": "all"} | {c: frame[c].sum() for c in frame if c != "question"}
    return frame


def claims_table(of: str, decided: Sequence[Decided], profile: str) -> Table:
    """:func:`claims_of` for readers, or where `of` is "" :func:`counted`."""
    if of:
        return render(claims_of(of, decided), note=f"{profile} profile")
    note = f"{profile} profile · exploratory: of the verdicts, those whose rule is younger than its runs"
    return render(counted(decided), note=note)
