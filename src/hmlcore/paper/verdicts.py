"""Claims in LaTeX: what became of each, and by which rule; those without results say that they wait."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hmlcore.paper.tex import code, escaped
from hmlcore.studies import experiments_named
from hmlcore.studies.export import claims
from hmlcore.studies.kit.claim import CONFIRMED, REFUTED, UNDECIDED, Claim
from hmlcore.studies.kit.standing import EXPLORATORY, WAITS, Standing


@dataclass(frozen=True)
class Decided:
    """An entry of ``claims.json``."""

    name: str
    statement: str
    verdict: str
    evidence: str
    rule: dict = field(default_factory=dict)
    runs: Sequence[str] = ()

    @property
    def standing(self) -> Standing:
        """When the rule came."""
        return Standing(**self.rule)


def verdicts(of: str, decided: Iterable[Decided]) -> str:
    """A table of the claims of an experiment or a study: the sentence and what became of it."""
    lines = [
        rf"{_sentence(claim, found)} & {found.standing.beside(found.verdict) if found else WAITS} \\"
        for claim, found in pairs_of(of, decided)
    ]
    top = [r"\begin{center}\small", r"\begin{tabular}{@{}p{0.72\linewidth}@{\hspace{0.03\linewidth}}"
           r"p{0.25\linewidth}@{}}", r"\toprule", r"Claim & Verdict \\", r"\midrule"]  # fmt: skip
    return "\n".join([*top, *lines, r"\bottomrule", r"\end{tabular}", r"\end{center}", ""])


def rules(of: str, decided: Iterable[Decided]) -> str:
    """The same claims with their rules in words, the verdicts and the evidence."""
    lines = []
    for claim, found in pairs_of(of, decided):
        name = claim.name
        words = escaped(claim.rule.__doc__ or "It has none in words.", f"the rule of {name}")
        line = [rf"\item \textbf{{{_sentence(claim, found)}.}}", rf"\emph{{Rule}} ({code(name)}): {words}"]
        if found is None:
            line.append(rf"\emph{{Verdict:}} {WAITS}.")
        else:
            since = f", rule since commit {code(found.standing.commit[:7])}" if found.standing.commit else ""
            verdict = f"{found.standing.beside(found.verdict)}{since}"
            evidence = escaped(found.evidence, f"the evidence of {name}")
            line.append(rf"\emph{{Verdict:}} {verdict}. \emph{{Evidence:}} {evidence}.")
        lines.append("\n".join(line))
    return "\n".join([r"\begin{itemize}", *lines, r"\end{itemize}", ""])


def summary(names: Sequence[str], decided: Iterable[Decided]) -> str:
    """What became of all claims of these experiments and studies, counted, as a sentence or two."""
    pairs = [pair for name in names for pair in pairs_of(name, decided)]
    found = [entry for _, entry in pairs if entry]
    counts = {verdict: sum(e.verdict == verdict for e in found) for verdict in (CONFIRMED, REFUTED, UNDECIDED)}
    late = sum(entry.standing.status == EXPLORATORY for entry in found)
    parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    parts += [f"{len(pairs) - len(found)} {WAITS}"] if len(found) < len(pairs) else []
    text = f"Of its {len(pairs)} claims, {_listed(parts)}."
    if late:
        text += f" Of the verdicts, {late} {'are' if late > 1 else 'is'} marked as exploratory: the rule is "
        text += "younger than the runs."
    return text + "\n"


def pairs_of(of: str, decided: Iterable[Decided]) -> list[tuple[Claim, Decided | None]]:
    """The claims of an experiment or a study, each with what became of it, None where it waits for runs."""
    own = {experiment.name for experiment in experiments_named(of)}
    by_name = {entry.name: entry for entry in decided}
    return [(claim, by_name.get(claim.name)) for claim in claims() if claim.experiment in own]


def sentence(claim: Claim, found: Decided | None) -> str:
    """The claim's sentence; one that depends on runs that are not there is named by its rule."""
    if found is not None:
        return found.statement
    if isinstance(claim.statement, str):
        return claim.statement
    words = (claim.called or claim.rule.__name__).replace("_", " ")
    return f"{words[0].upper()}{words[1:]}"


def _sentence(claim: Claim, found: Decided | None) -> str:
    return escaped(sentence(claim, found), f"the claim {claim.name}")


def _listed(parts: Sequence[str]) -> str:
    *most, last = [f"{part.split(' ', 1)[0]} {'is' if part.startswith('1 ') else 'are'} {part.split(' ', 1)[1]}"
                   for part in parts] or ["none is decided"]  # fmt: skip
    return f"{', '.join(most)} and {last}" if most else last
