"""Names of experiments, as they appear in commands and results."""

from hmlcore.errors import unknown
from hmlcore.experiments.base import Experiment
from hmlcore.experiments.bytes import BYTES
from hmlcore.experiments.copy import COPY
from hmlcore.experiments.lra import LRA_LISTOPS
from hmlcore.experiments.recall import RECALL

EXPERIMENTS: dict[str, Experiment] = {e.name: e for e in (COPY, RECALL, BYTES, LRA_LISTOPS)}


def get_experiment(name: str) -> Experiment:
    """The experiment called `name`; an unknown name is refused with the list of known ones."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]
