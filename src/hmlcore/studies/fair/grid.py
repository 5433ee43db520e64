"""The grids of the comparison: every row is tuned on validation, then fresh seeds of all are tested."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from hmlcore.studies.fair import ROWS
from hmlcore.studies.fair.families import FAMILY, GATE_TRIAL, LONG
from hmlcore.studies.fair.rows import Configurations, configurations
from hmlcore.studies.kit import families
from hmlcore.studies.kit.comparison import task_from
from hmlcore.studies.kit.families import examine, family_spec, measure
from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.kit.tuning import Tuned, rates_to_try, read_tuned

TUNING = 0
"""The seed that every row is tuned with."""
SEEDS = {"smoke": [1, 2], "laptop": [40, 41, 42, 43, 44], "full": [40, 41, 42, 43, 44]}
RATES = {"smoke": [1e-2], "laptop": [3e-3, 1e-2, 3e-2], "full": [1e-3, 3e-3, 1e-2]}
LONGER = {"smoke": 6, "laptop": 8000, "full": 60_000}
"""Steps of expressions that are trained longer: where no memory evaluates them, are more steps enough?"""


def cases(profile: str) -> dict[str, dict]:
    """Those of :func:`hmlcore.studies.kit.families.cases` that are compared or tried, with three changes.

    Recurrences are left out (:mod:`hmlcore.studies.fair.families`). Between the questions of recall stands one
    symbol of its own: drawn from a vocabulary as small as this one, filler would rewrite keys that are still to
    be asked for, at the cost of memories that overwrite. Expressions are there twice, the second time with more
    steps (:data:`LONGER`).
    """
    known = families.cases(profile)
    known[LONG] = known["expressions"] | {"steps": LONGER[profile]}
    found = {case: dict(known[case]) for case in (*FAMILY, *GATE_TRIAL)}
    for part in ("train", "test"):
        found["recall"][part] = [task | {"random_non_queries": False} for task in found["recall"][part]]
    return found


class Chosen(NamedTuple):
    """What tuning chose for a row in a case."""

    configuration: str
    lr: float


def given(row: str, s: Mapping) -> Configurations:
    """The configurations of a row in a case of settings `s`."""
    longest = max(task_from(task).length for task in s["train"])
    return configurations(row, s["d_model"], s["heads"], longest, s["train"][0]["task"] == "text")


def chosen(stored: Mapping, case: str, row: str, names: list[str], rates: list[float]) -> Chosen:
    """What tuning chose; before it has, the first configuration at the middle rate."""
    for name in names:
        for tuned in stored.get(f"{case}, {row}, {name}", {}).values():
            if tuned.best:
                return Chosen(name, tuned.lr)
    return Chosen(names[0], rates[len(rates) // 2])


def tuning_grid(profile: str) -> list[dict]:
    """Every configuration of every row at every rate; of books a third is read, and nothing here is tested."""
    stored = _stored(profile)

    def tuned(case: str, row: str, name: str) -> Tuned | None:
        return stored.get(f"{case}, {row}, {name}", {}).get(ROWS[row])

    return [
        family_spec(
            "fair_tuning", profile, case, ROWS[row], arguments, seed=TUNING, lr=lr, variant=row,
            configuration=name, split="validation", settings=s,
            steps=max(3, s["steps"] // 3) if FAMILY.get(case) == "books" else None,
        )
        for case, s in cases(profile).items()
        for row in GATE_TRIAL.get(case, ROWS)
        for name, arguments in given(row, s).items()
        for lr in _rates(profile, case, tuned(case, row, name))
    ]  # fmt: skip


def _rates(profile: str, case: str, tuned: Tuned | None) -> list[float]:
    base = RATES[profile]
    return [base[len(base) // 2]] if case in GATE_TRIAL else rates_to_try(base, tuned)


def test_grid(profile: str) -> list[dict]:
    """Every row as it was tuned, fresh seeds outermost."""
    stored, specs = _stored(profile), []
    for seed in SEEDS[profile]:
        for case, s in cases(profile).items():
            for row, mixer in ROWS.items() if case in FAMILY else ():
                offered = given(row, s)
                name, lr = chosen(stored, case, row, list(offered), RATES[profile])
                specs.append(
                    family_spec(
                        "fair", profile, case, mixer, offered[name], seed=seed, lr=lr, variant=row,
                        configuration=name, split="test", settings=s,
                    )
                )  # fmt: skip
    return specs


def _stored(profile: str) -> Mapping:
    return read_tuned(Path(__file__).parent).get(profile, {}).get("fair_tuning", {})


PROTOCOLS = {
    "fair_tuning": Protocol(tuning_grid, measure, examine=examine),
    "fair": Protocol(test_grid, measure, examine=examine),
}
