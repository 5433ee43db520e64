"""Whether a claim's rule stood before the runs that decide it: computed from Git, never typed. Needs no torch.

A rule (`kit.rule` says what that is) stands since the oldest of the unbroken series of commits, back from
today, that hold it unchanged. It stood before a run where the commit that the run was made at holds the same
rule, whatever the clocks say; where Git does not know that commit, where the run began no earlier than the
rule's commit. Of a commit's two dates the later counts: one that was amended or rebased may say more than it
did at first. A claim some of whose runs came before its rule is *exploratory*.

Without Git, or where a clone's history is cut short, what ``claims.json`` has of the same rule and runs counts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from hmlcore.studies.kit.history import Commit, History, checkout_of
from hmlcore.studies.kit.rule import Rule, Ruled, rule_of

BEFORE, EXPLORATORY, UNKNOWN = "before the runs", "exploratory", "not known"
WAITS = "not measured yet"
"""What is said of a claim whose runs are not there."""


class Standing(NamedTuple):
    """When a rule came.

    Attributes:
        status: :data:`BEFORE`, :data:`EXPLORATORY` or :data:`UNKNOWN`.
        commit: since which the rule stands; "" where it is not committed, or not known.
        committed: when that was, ISO 8601, UTC; "" likewise.
        began: the first of the runs, likewise.
        digest: the rule's name by content.
    """

    status: str
    commit: str = ""
    committed: str = ""
    began: str = ""
    digest: str = ""

    def beside(self, verdict: str) -> str:
        """`verdict` with what a reader must know of its rule: ``confirmed (exploratory)``."""
        return verdict + {BEFORE: "", EXPLORATORY: " (exploratory)"}.get(self.status, " (rule not dated)")

    def words(self) -> str:
        """For people: the status, and the two times that it rests on."""
        since = f"since {self.commit[:12]} of {self.committed}" if self.commit else "not committed as it is now"
        began = f"the first run began {self.began}" if self.began else "when the runs began is not known"
        return self.status if self.status == UNKNOWN else f"{self.status}: {since}, {began}"


class Case(NamedTuple):
    """A claim to be dated: what names it, the module that makes it, (commit, began) of each run, and what
    ``claims.json`` has of it for these runs, if anything."""

    ruled: Ruled
    module: Path
    runs: list[tuple[str, str]]
    stored: Mapping | None = None


def standings(cases: Sequence[Case]) -> list[Standing]:
    """When the rule of each case came, those of one checkout asked together."""
    found: dict[int, Standing] = {}
    roots = {case.module.resolve().parents[1] for case in cases}
    for root in roots:
        own = {n: case for n, case in enumerate(cases) if case.module.resolve().parents[1] == root}
        top = checkout_of(root)
        rules = {n: _present(case, top or root.parent) for n, case in own.items()}
        dated = (
            _Dated(top, rules.values(), (run for case in own.values() for run in case.runs)) if top else None
        )
        for n, case in own.items():
            path, rule = rules[n]
            if rule is None:
                found[n] = Standing(UNKNOWN)
            else:
                found[n] = dated.standing(case, path, rule) if dated else _stored(case, rule)
    return [found[n] for n in range(len(cases))]


def _present(case: Case, top: Path) -> tuple[str, Rule | None]:
    """The path of a claim's module below `top`, and its rule as the files have it now."""
    module = case.module.resolve()
    folders = (module.parent, module.parents[1] / "kit")
    files = {
        p.relative_to(top).as_posix(): p.read_text("utf-8") for f in folders for p in sorted(f.glob("*.py"))
    }
    path = module.relative_to(top).as_posix()
    return path, rule_of(case.ruled, path, files)


def _stored(case: Case, rule: Rule) -> Standing:
    """What ``claims.json`` says, where that is of the same rule."""
    known = case.stored or {}
    if known.get("digest") != rule.digest:
        return Standing(UNKNOWN, digest=rule.digest)
    return Standing(
        **{field: known.get(field, UNKNOWN if field == "status" else "") for field in Standing._fields}
    )


class _Dated:
    """The past of some rules in one checkout."""

    def __init__(self, top: Path, rules: Iterable[tuple[str, Rule | None]], runs: Iterable[tuple[str, str]]):
        paths = sorted({path for _, rule in rules if rule for path in rule.files})
        self._history = History(top, paths)
        self._history.read(
            [*self._history.commits, *(c for c, _ in runs if re.fullmatch("[0-9a-f]{40,64}", c))]
        )
        self._seen: dict[tuple, Rule | None] = {}

    def standing(self, case: Case, path: str, rule: Rule) -> Standing:
        since = self._since(case.ruled, path, rule)
        before = {self._before(case.ruled, path, rule, since, *run) for run in set(case.runs)}
        status = EXPLORATORY if False in before else UNKNOWN if None in before or not before else BEFORE
        began = min((began for _, began in case.runs if began), default="")
        if since is None:
            return Standing(status, began=began, digest=rule.digest)
        committed = datetime.fromtimestamp(since.time, UTC).isoformat()
        return Standing(status, since.name, committed, began, rule.digest)

    def _before(
        self, ruled: Ruled, path: str, rule: Rule, since: Commit | None, commit: str, began: str
    ) -> bool | None:
        """Whether the rule stood before a run of `commit`; None where nothing tells."""
        if self._history.files(commit) is not None:
            return self._holds(ruled, path, rule, commit)
        if since is None:
            return False
        return datetime.fromisoformat(began).timestamp() >= since.time if began else None

    def _since(self, ruled: Ruled, path: str, rule: Rule) -> Commit | None:
        """The oldest commit of the series back from today; None where today's rule is not committed."""
        commits = self._history.commits
        waiting, series = list(commits)[:1], {}
        while waiting:
            name = waiting.pop()
            if name in commits and name not in series and self._holds(ruled, path, rule, name):
                series[name] = commits[name]
                waiting += commits[name].parents
        return min(series.values(), key=lambda commit: commit.time, default=None)

    def _holds(self, ruled: Ruled, path: str, rule: Rule, commit: str) -> bool:
        """Whether a commit has the same rule, in the same files by whatever name."""
        there = self._history.files(commit) or {}
        own = {name for file in rule.files for name in self._history.names(file)}
        files = {name: text for name, text in there.items() if name in own}
        place = next((name for name in self._history.names(path) if name in files), path)
        key = (ruled, place, *sorted(files.items()))
        if key not in self._seen:
            self._seen[key] = rule_of(ruled, place, files)
        found = self._seen[key]
        return found is not None and found.text == rule.text
