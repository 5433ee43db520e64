"""What of a profile is there, what is not, and what was drawn from other runs than the store has. No torch.

fresh    the store has the runs that the grid asks for, and no others
stale    it lacks some, or has some that the grid asks for no more
missing  it has none
"""

from collections.abc import Iterable
from typing import NamedTuple

from hmlcore.files import read_json
from hmlcore.results import Store
from hmlcore.runner.catalogue import catalogue


class State(NamedTuple):
    """Of one experiment at one profile: how many runs its grid asks for, how many of them are stored, which
    others are (16 digits of their spec hashes), and whether figures, numbers and claims were made from the runs
    that are stored (None: from none)."""

    experiment: str
    asked: int
    stored: int
    others: tuple[str, ...]
    drawn: bool | None

    @property
    def word(self) -> str:
        """fresh, stale or missing."""
        if not (self.stored or self.others):
            return "missing"
        return "fresh" if self.stored == self.asked and not self.others else "stale"


def states(store: Store, profile: str, names: Iterable[str]) -> list[State]:
    """The state of the named experiments.

    What was drawn is known by ``sources.json``, which names the runs behind it; a time of change says nothing
    in a fresh clone.
    """
    grids, drawn = catalogue().grids[profile], _drawn(store, profile)
    found = []
    for name in names:
        asked = {digest[:16] for digest in grids[name]}
        there = store.hashes(profile, name)
        same = drawn[name] == there if name in drawn else None
        found.append(State(name, len(asked), len(asked & there), tuple(sorted(there - asked)), same))
    return found


def _drawn(store: Store, profile: str) -> dict[str, set[str]]:
    """Experiment → the runs, by 16 digits, that figures, numbers and claims of the profile were made from."""
    try:
        entries = read_json(store.root / profile / "sources.json")["results"]
        return {name: {digest[:16] for digest in entry["specs"]} for name, entry in entries.items()}
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ):  # none was written, or by nobody of ours
        return {}


def report(found: list[State], profile: str) -> str:
    """For people: a table, and what to do."""
    lines = [f"{'experiment':<24}{'stored':>12}{'others':>8}  {'results':<9}figures and claims"]
    lines += [
        f"{s.experiment:<24}{f'{s.stored} of {s.asked}':>12}{len(s.others):>8}  {s.word:<9}"
        f"{_figures(s)}".rstrip()
        for s in found
    ]
    count = {word: [s.experiment for s in found if s.word == word] for word in ("fresh", "stale", "missing")}
    lines.append(f"{profile} profile: " + ", ".join(f"{len(names)} {word}" for word, names in count.items()))
    if any(s.stored < s.asked for s in found):
        lines.append(f"what is lacking is made by: hml run EXPERIMENT --profile {profile}")
    for s in (s for s in found if s.others):
        drop = f"hml pack {s.experiment} --profile {profile} --drop {' '.join(s.others)}"
        lines.append(f"{s.experiment} has runs that its grid asks for no more; they are taken out by: {drop}")
    if any(_figures(s).startswith("older") for s in found):
        lines.append(f"figures and claims are renewed by: hml figures --profile {profile}")
    return "\n".join(lines)


def _figures(state: State) -> str:
    if state.word == "missing" and state.drawn is None:
        return ""
    return "as stored" if state.drawn else "older than the store"
