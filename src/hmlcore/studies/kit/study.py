"""What a study is: a question, the experiments that answer it, and what tells their runs and rows apart.

Everything here is words and names: no torch. How runs are made and measured is a :class:`Protocol`, in the
study's ``grid.py``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hmlcore.checks import (
    check_bool,
    check_choice,
    check_fields,
    check_function,
    check_instance,
    check_optional,
    check_text,
    check_tuple,
)
from hmlcore.errors import require
from hmlcore.results import Store

if TYPE_CHECKING:  # they need pandas, and the names of studies do not
    from hmlcore.results import ResultSet, Tuning

PROFILES = ("smoke", "laptop", "full")
COMPARED = ("hml", "attention", "gru")
ALL_MIXERS = (
    "hml", "attention", "gru", "lstm", "mamba", "mamba2", "hyena", "retnet", "gated_deltanet",
    "momentum_deltanet", "linoss",
)  # fmt: skip
EVERY_RUN = ("mixer", "lr", "seed")
"""Factors of every experiment."""

Rows = list[dict]


@dataclass(frozen=True)
class Experiment:
    """One grid of runs, as commands and results name it.

    Attributes:
        name: as in commands and results.
        question: one line.
        factors: fields that tell runs of the grid apart beside mixer, learning rate and seed: of the spec, of
            its model or of its training tasks. Runs that agree in them share every other setting.
        conditions: columns that tell the rows of one run apart beside metric and split.
        criterion: the validation metric that chooses learning rates, and "max" or "min"; None where no rate is
            chosen.
        among: the factor whose values are configurations of one contestant, of which tuning keeps the best;
            "" where there is none.
        mixers: those that the grid compares.
        trained: its runs are trained one by one; else they are measured together in one process, as timings
            must be.
        repeatable: made again, its runs have the same values, so that `hml verify` can compare them.
    """

    name: str
    question: str
    factors: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    criterion: tuple[str, str] | None = None
    among: str = ""
    mixers: tuple[str, ...] = COMPARED
    trained: bool = True
    repeatable: bool = True

    def __post_init__(self) -> None:
        words = (check_tuple, check_text)
        check_fields(
            self, name=(check_text,), question=(check_text,), factors=words, conditions=words, mixers=words,
            criterion=(check_optional, _check_criterion), among=(check_instance, str), trained=(check_bool,),
            repeatable=(check_bool,),
        )  # fmt: skip

    @property
    def tuning(self) -> "Tuning | None":
        """What chooses this experiment's learning rates, as results carry it."""
        from hmlcore.results import Tuning

        return Tuning(*self.criterion, by=self.factors) if self.criterion else None

    def load(self, store: Store, profile: str) -> "ResultSet":
        """Every stored run at `profile`, with the criterion that chooses among them.

        Raises: HmlcoreError where there is none, or where they are of several grids.
        """
        return store.load(profile, self.name, factors=self.factors, tuning=self.tuning)


@dataclass(frozen=True)
class Study:
    """A question, by the name of its folder, and the experiments that answer it."""

    name: str
    question: str
    experiments: tuple[Experiment, ...]

    def __post_init__(self) -> None:
        experiments = (check_tuple, check_instance, Experiment)
        check_fields(self, name=(check_text,), question=(check_text,), experiments=experiments)


@dataclass(frozen=True)
class Protocol:
    """How the runs of an experiment are made and measured.

    Attributes:
        grid: profile → the specs of all its runs, in the order they are worth having.
        measure: (task, scores) → result rows of one evaluation.
        trace: None, or (model, task) → the rows of a trace, for specs that ask for one.
        examine: None, or (trained model, the same untrained, spec) → further rows of a run.
        side_by_side: None, or (specs, device) → runs measured together instead of trained one by one.
        report: None, or runs → what `hml bench` prints of them.
    """

    grid: Callable[[str], list[dict]]
    measure: Callable[[Any, Any], Rows] | None = None
    trace: Callable[[Any, Any], Rows] | None = None
    examine: Callable[[Any, Any, dict], Rows] | None = None
    side_by_side: Callable[[list[dict], Any], list] | None = None
    report: Callable[[list], str] | None = None

    def __post_init__(self) -> None:
        others = ("measure", "trace", "examine", "side_by_side", "report")
        check_fields(self, grid=(check_function,), **dict.fromkeys(others, (check_optional, check_function)))


def _check_criterion(name: str, value: object) -> tuple[str, str]:
    pair = check_tuple(name, value, check_text)
    require(len(pair) == 2, f"{name} must be a metric and max or min, got {pair}")
    return pair[0], check_choice(name, pair[1], ("max", "min"))


def check_profile(profile: str) -> None:
    """Refuse an unknown profile with the list of known ones."""
    check_choice("profile", profile, PROFILES)


def field_values(spec: Mapping, field: str) -> set[str]:
    """What a spec says of `field`, as text: a field of its own, of its model, or of its training tasks."""
    places = (spec, spec.get("model", {}), *spec.get("train", []))
    return {
        str(place[field]) for place in places if field in place and not isinstance(place[field], list | dict)
    }


def trained(specs: Sequence[Mapping], knob: str) -> list:
    """The values of a task's knob that runs of `specs` train on, ascending."""
    return sorted({task[knob] for spec in specs for task in spec.get("train", []) if knob in task})


def tested(specs: Sequence[Mapping], knob: str) -> list:
    """The values of a task's knob that runs of `specs` are tested at, ascending."""
    entries = [task for spec in specs for task in spec.get("evaluate", []) if task["split"] == "test"]
    return sorted({task[knob] for task in entries if knob in task})


def check_study(study: Study, folder: str) -> None:
    """Refuse a study that is not what its folder says, or whose experiments are not named apart."""
    require(
        study.name == folder, f"studies/{folder}/__init__.py: STUDY.name must be {folder!r}, got {study.name!r}"
    )
    require(
        len(study.experiments) > 0,
        f"studies/{folder}/__init__.py: STUDY.experiments is empty",
    )
