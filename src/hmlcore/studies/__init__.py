"""Studies: one folder a question. A folder with a ``STUDY`` is found, never registered.

Each holds ``grid.py`` (which runs, how measured), ``claims.py`` (rules), ``figures.py`` (figures, tables,
numbers) and ``rates.json`` (what tuning chose). Folders named by ``HMLCORE_STUDIES`` (several are separated as
in ``PATH``) are searched too, so that studies of your own need not lie inside this package.
"""

import os
import pkgutil
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from hmlcore.errors import HmlcoreError, require, unknown
from hmlcore.studies.kit.study import Experiment, Protocol, Study, check_study

__path__ = [*__path__, *(p for p in os.environ.get("HMLCORE_STUDIES", "").split(os.pathsep) if p)]


@lru_cache(maxsize=1)
def studies() -> dict[str, Study]:
    """Name → study, of every folder here but the kit.

    Raises: HmlcoreError for a folder without STUDY, or two experiments of one name.
    """
    found: dict[str, Study] = {}
    owner: dict[str, str] = {}
    # Folder by folder: asked about all at once, it hides the second of two modules of one name.
    for module in (m for folder in dict.fromkeys(__path__) for m in pkgutil.iter_modules([folder])):
        if not module.ispkg or module.name == "kit":
            continue
        require(module.name not in found, f"two study folders are called {module.name!r}: rename one")
        study = getattr(import_module(f"{__name__}.{module.name}"), "STUDY", None)
        if not isinstance(study, Study):
            raise HmlcoreError(f"studies/{module.name}/__init__.py has no STUDY")
        check_study(study, module.name)
        for experiment in study.experiments:
            require(
                experiment.name not in owner,
                f"studies/{study.name}/__init__.py: STUDY.experiments has {experiment.name!r}, which study "
                f"{owner.get(experiment.name)!r} has already",
            )
            owner[experiment.name] = study.name
        found[study.name] = study
    return found


@lru_cache(maxsize=1)
def experiments() -> dict[str, Experiment]:
    """Name → experiment, of all studies."""
    return {e.name: e for study in studies().values() for e in study.experiments}


def get_experiment(name: str) -> Experiment:
    """The experiment called `name`; an unknown name is refused with the list of known ones."""
    if name not in experiments():
        raise unknown("experiment", name, experiments())
    return experiments()[name]


def experiments_named(name: str) -> list[Experiment]:
    """The experiment called `name`, those of the study `name`, or of the family: "lra" for "lra_…".

    Raises: HmlcoreError for an unknown name, listing experiments, studies and families.
    """
    known, families = experiments(), {e.split("_")[0] for e in experiments() if "_" in e}
    if name in known:
        return [known[name]]
    if name in studies():
        return list(studies()[name].experiments)
    members = [e for e in known.values() if e.name.startswith(f"{name}_")]
    if not members:
        raise unknown("experiment", name, {*known, *studies(), *families})
    return members


def study_of(experiment: str) -> Study:
    """The study that the experiment belongs to."""
    get_experiment(experiment)
    return next(s for s in studies().values() if any(e.name == experiment for e in s.experiments))


def part(study: str, name: str) -> ModuleType | None:
    """The module "grid", "claims" or "figures" of a study, None where it has none."""
    module = f"{__name__}.{study}.{name}"
    return import_module(module) if find_spec(module) else None


def protocol(experiment: str) -> Protocol:
    """How the runs of `experiment` are made and measured. Imports torch.

    Raises: HmlcoreError where its study does not say.
    """
    study = study_of(experiment).name
    found = getattr(part(study, "grid"), "PROTOCOLS", {})
    if experiment not in found:
        raise HmlcoreError(f"studies/{study}/grid.py: PROTOCOLS lacks the experiment {experiment!r}")
    return found[experiment]


def folder_of(experiment: str) -> Path:
    """The folder of an experiment's study."""
    module: Any = import_module(f"{__name__}.{study_of(experiment).name}")
    return Path(module.__file__).parent


def gathered(name: str, of: str) -> dict:
    """All entries of the dictionaries `of` ("FIGURES", "TABLES", "NUMBERS") in the studies' modules `name`.

    Raises: HmlcoreError for a name that two studies use.
    """
    found: dict = {}
    for study in studies():
        own = getattr(part(study, name), of, {})
        twice = sorted(found.keys() & own.keys())
        require(not twice, f"studies/{study}/{name}.py: {of} has {twice}, which another study uses already")
        found |= own
    return found
