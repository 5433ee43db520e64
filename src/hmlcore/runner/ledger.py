"""`hml ledger`: the experiment ledger of the sparse memory, read out of the store. No torch."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hmlcore.results import Store
    from hmlcore.studies.sparse.ledger import Criterion, Entry

ROADMAP = "ROADMAP.md"
READ = ("sparse_ladder", "sparse_recall", "sparse_far", "sparse_speed")
"""Experiments that the ledger reads."""
_HEAD = """# Roadmap of the sparse memory

Written by `hml ledger --write` out of the results store.
It is not edited by hand, and a test holds it to the store.
What the ten weeks asked for is in `book/roadmap.md`, the chapter is `notebooks/p3_sparse.py`.
"""
_COLUMNS = ("version", "phase", "goal", "verdict", "outcome", "date", "trigger")


def ledger(options: argparse.Namespace) -> int:
    """Print the ledger of a profile, or write it; the exit code."""
    from hmlcore import paths
    from hmlcore.files import write_files
    from hmlcore.results import Store
    from hmlcore.studies.kit.study import check_profile

    check_profile(options.profile)
    store = Store(paths.results())
    if options.write:
        (path,) = write_files(paths.project(), {ROADMAP: roadmap(store, options.profile)})
        print(path)
        return 0
    print(text(*read(store, options.profile), options.profile))
    return 0


def arguments(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the verb to a command line; `verb` as in :mod:`hmlcore.arguments`."""
    command = verb(
        "ledger", "show what each version of the sparse memory was for and whether it was a gain",
        "A version is a gain if it recalls more than the best before it; three in a row that are none say "
        "pivot. The source's criteria are ticked by computation.", profile="laptop",
    )  # fmt: skip
    command.add_argument("--write", action="store_true", help="write it as ROADMAP.md of the project instead")


def read(store: "Store", profile: str) -> "tuple[list[Entry], list[Criterion]]":
    """The ledger and the criteria, of what `store` has at `profile`."""
    from hmlcore.studies import get_experiment
    from hmlcore.studies.sparse.ledger import criteria, entries

    found = {name: get_experiment(name).load(store, profile) for name in READ if store.has_any(profile, name)}
    recall = [found[name] for name in ("sparse_recall", "sparse_far") if name in found]
    return entries(found.get("sparse_ladder")), criteria(recall, found.get("sparse_speed"))


def text(found: "Sequence[Entry]", ticked: "Sequence[Criterion]", profile: str) -> str:
    """For a terminal: a line a version, the criteria, and what the pivot rule says."""
    lines = [f"{'version':<8}{'phase':<11}{'verdict':<18}{'date':<12}{'outcome':<34}goal"]
    lines += [
        f"{e.version:<8}{e.phase:<11}{e.verdict:<18}{e.date:<12}{e.outcome:<34}{e.goal}"
        + (f"  ← {e.trigger}" if e.trigger else "")
        for e in found
    ]
    lines += [f"[{_mark(c)}] {c.criterion}" + (f": {c.measured}" if c.measured else "") for c in ticked]
    return "\n".join([*lines, f"{profile} profile: {summary(found)}"])


def roadmap(store: "Store", profile: str) -> str:
    """The same as a document."""
    from hmlcore.studies.kit.standing import WAITS

    found, ticked = read(store, profile)
    table = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    table += [f"| {' | '.join(entry)} |" for entry in found]
    boxes = [f"- [{_mark(c)}] {c.criterion}: {c.measured or WAITS}" for c in ticked]
    parts = [_HEAD, "## Versions\n", *table, f"\n{summary(found)[0].upper()}{summary(found)[1:]}."]
    return "\n".join([*parts, "\n## Criteria of the source\n", *boxes, f"\nOf the {profile} profile.\n"])


def summary(found: "Sequence[Entry]") -> str:
    """What was measured, and what the pivot rule says."""
    from hmlcore.studies.sparse.ledger import GAIN, IN_A_ROW, WAITS, pivots

    measured, fired = [entry for entry in found if entry.verdict != WAITS], pivots(found)
    gains = sum(entry.verdict == GAIN for entry in measured)
    rule = f"the pivot rule fires at {', '.join(fired)}" if fired else (
        f"no {IN_A_ROW} failures in a row" if measured else "the pivot rule has nothing to say yet"
    )  # fmt: skip
    return f"{len(measured)} of {len(found)} versions are measured, {gains} gained on the best before; {rule}"


def _mark(criterion: "Criterion") -> str:
    return {True: "x", False: " ", None: " "}[criterion.met]
