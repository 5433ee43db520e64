"""What a claim is: a sentence, the experiment that tests it, and the rule that decides it. Needs no torch.

Rules are fixed before the measurement; a verdict is computed from the store and never typed: *confirmed*,
*refuted*, or *undecided*. Where a rule came after runs that it decides, the verdict is *exploratory*, which Git
tells (`kit.standing`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from hmlcore.checks import check_fields, check_function, check_instance, check_sentence, check_text, check_tuple
from hmlcore.errors import HmlcoreError
from hmlcore.results import ResultSet
from hmlcore.results.tuning import tuned
from hmlcore.studies.kit.standing import Standing
from hmlcore.studies.kit.study import tested, trained

CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "undecided"
NEAR, FAR = 0.02, 0.05
"""Accuracies this near count as equal; one that is further below than the second is worse."""

GROWING = ("attention", "hyena")
"""Mixers that keep everything: not bounded memories."""

Verdict = tuple[str, str]


class Effect(NamedTuple):
    """The smallest difference in a metric by which a rule decides; relative to the value where it says so."""

    metric: str
    size: float
    relative: bool = False


class Decision(NamedTuple):
    """What became of a claim: the sentence, the verdict, the evidence in words, the hashes of its runs."""

    name: str
    statement: str
    verdict: str
    evidence: str
    runs: list[str]


@dataclass(frozen=True)
class Claim:
    """A statement and the rule that decides it.

    Attributes:
        statement: the sentence; where it depends on what was run, specs → the sentence.
        experiment: whose results decide.
        rule: results at the chosen learning rates → (verdict, evidence in words).
        where: conditions on the rows that the rule sees.
        effects: by what differences it decides; `hml verify` tolerates a fifth of the smallest.
        called: the rule's name, where the function does not tell.
    """

    statement: str | Callable[[Sequence[Mapping]], str]
    experiment: str
    rule: Callable[[ResultSet], Verdict]
    where: Mapping = field(default_factory=dict)
    effects: tuple[Effect, ...] = (Effect("accuracy", NEAR),)
    called: str = ""

    def __post_init__(self) -> None:
        effects = (check_tuple, check_instance, Effect)
        check_fields(
            self, statement=(check_sentence,), experiment=(check_text,), rule=(check_function,),
            where=(check_instance, Mapping), effects=effects, called=(check_instance, str),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """As `hml show` takes it: experiment and rule."""
        return f"{self.experiment}.{self.called or self.rule.__name__}"

    def words(self, specs: Sequence[Mapping]) -> str:
        """The sentence, for runs of `specs`."""
        return self.statement if isinstance(self.statement, str) else self.statement(specs)

    def decide(self, results: ResultSet) -> Decision:
        """The verdict that the rule computes, and the runs that it saw.

        Raises: HmlcoreError where results do not suffice, as those of a grid that is not finished.
        """
        seen = tuned(results)
        seen = seen.where(**self.where) if self.where else seen
        try:
            verdict, evidence = self.rule(seen)
            statement = self.words(results.specs())
        except HmlcoreError:
            raise
        except (LookupError, ValueError) as error:
            raise HmlcoreError(f"results do not suffice for the claim {self.name!r}: {error!r}") from error
        return Decision(self.name, statement, verdict, evidence, seen.hashes)


Dated = Callable[[Sequence[tuple[ResultSet, Decision]]], Sequence[Standing]]
"""(results, what became of a claim on them) → when each rule came."""


def claim_table(results: Iterable[ResultSet], claims: Sequence[Claim], dated: Dated) -> pd.DataFrame:
    """One row a claim about `results`, in their order: claim, evidence, verdict, the commit since which its
    rule stands, and the runs behind it. A verdict by a rule that came after runs is "… (exploratory)"."""
    decided = [(part, claim.decide(part)) for part in results for claim in claims
               if claim.experiment == part.experiment]  # fmt: skip
    return pd.DataFrame(
        {
            "claim": found.statement, "evidence": found.evidence, "verdict": rule.beside(found.verdict),
            "rule": rule.commit[:7], "runs": f"{len(found.runs)}: hml show {found.name}",
        }
        for (_, found), rule in zip(decided, dated(decided), strict=True)
    )  # fmt: skip


def tolerance(claims: Iterable[Claim], metric: str, value: float) -> float:
    """How far a value made again may be from `value`: a fifth of the smallest effect that a claim on its metric
    decides; where none is on it, of :data:`NEAR`, relative to values above 1."""
    scale = max(1.0, abs(value))
    sizes = [
        effect.size * (abs(value) if effect.relative else 1.0)
        for claim in claims
        for effect in claim.effects
        if effect.metric == metric
    ]
    return min(sizes, default=NEAR * scale) / 5


def means(rows: pd.DataFrame) -> dict[Any, float]:
    """Mean value per mixer, over seeds and whatever else varies."""
    return rows.groupby("mixer")["value"].mean().to_dict()


def by_seed(rows: pd.DataFrame, mixer: str) -> dict[Any, float]:
    """Mean value of a mixer per seed, over whatever else varies."""
    return rows[rows["mixer"] == mixer].groupby("seed")["value"].mean().to_dict()


def bounded(mixers: Iterable[str]) -> list[str]:
    """The bounded memories among `mixers`, HML aside."""
    return [mixer for mixer in mixers if mixer != "hml" and mixer not in GROWING]


def compared(gap: float) -> str:
    """The verdict on "at least as good" from own score − other's."""
    return CONFIRMED if gap >= -NEAR else REFUTED if gap < -FAR else UNDECIDED


def against(scores: Mapping[str, float], others: Sequence[str]) -> Verdict:
    """HML against the best of `others`."""
    best = max(others, key=lambda mixer: scores[mixer])
    gap = scores["hml"] - scores[best]
    return compared(gap), f"HML {scores['hml']:.3f}, {best} {scores[best]:.3f}: {gap:+.3f}"


def kept(near: float, far: float, evidence: str, too_little: str) -> Verdict:
    """What is kept of a score: confirmed at .9 of it and more, refuted below half; undecided between, or where
    the score is below .5 itself."""
    if near < 0.5:
        return UNDECIDED, f"{evidence}; {too_little}"
    return (CONFIRMED if far >= 0.9 * near else REFUTED if far < 0.5 * near else UNDECIDED), evidence


def all_or_none(within: Sequence[bool]) -> str:
    """Confirmed where all are, refuted where none is."""
    return CONFIRMED if all(within) else UNDECIDED if any(within) else REFUTED


def listed(values: Mapping[Any, float], form: str) -> str:
    """``name value, name value`` with each value as `form` writes it."""
    return ", ".join(f"{name} {form.format(value)}" for name, value in values.items())


def trained_on(results: ResultSet, knob: str) -> list:
    """The values of a task's knob that the runs were trained on."""
    return trained(results.specs(), knob)


def times(specs: Sequence[Mapping], knob: str) -> str:
    """How many times the longest `knob` of training the longest test has: ``128 times``."""
    return f"{max(tested(specs, knob)) / max(trained(specs, knob)):.0f} times"
