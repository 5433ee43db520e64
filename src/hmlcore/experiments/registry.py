"""Names of experiments, as they appear in commands and results."""

from hmlcore.errors import unknown
from hmlcore.experiments.bakeoff import BAKEOFF
from hmlcore.experiments.base import Experiment
from hmlcore.experiments.bytes import BYTES
from hmlcore.experiments.copy import COPY
from hmlcore.experiments.lra import LRA_LISTOPS
from hmlcore.experiments.lra_text import LRA_TEXT
from hmlcore.experiments.op_speed import OP_SPEED
from hmlcore.experiments.pg19 import PG19
from hmlcore.experiments.physics import PHYSICS
from hmlcore.experiments.recall import RECALL
from hmlcore.experiments.speed import SPEED
from hmlcore.experiments.synthetic_ablation import SYNTHETIC_ABLATION
from hmlcore.experiments.synthetic_gradient import SYNTHETIC_GRADIENT
from hmlcore.experiments.synthetic_needle import SYNTHETIC_NEEDLE
from hmlcore.experiments.synthetic_needle_text import SYNTHETIC_NEEDLE_TEXT
from hmlcore.experiments.synthetic_recall import SYNTHETIC_RECALL
from hmlcore.experiments.synthetic_tasks import SYNTHETIC_TASKS

EXPERIMENTS: dict[str, Experiment] = {
    e.name: e
    for e in (
        COPY, RECALL, BYTES, LRA_LISTOPS, LRA_TEXT, BAKEOFF, SPEED, OP_SPEED, PHYSICS, SYNTHETIC_NEEDLE,
        SYNTHETIC_NEEDLE_TEXT, SYNTHETIC_TASKS, SYNTHETIC_RECALL, SYNTHETIC_GRADIENT, SYNTHETIC_ABLATION, PG19,
    )
}  # fmt: skip


def families() -> set[str]:
    """The names that stand for several experiments: "lra" for all whose name begins with "lra_"."""
    return {name.split("_")[0] for name in EXPERIMENTS if "_" in name}


def experiments_named(name: str) -> list[Experiment]:
    """The experiment called `name`, or all of the family `name`.

    Raises: HmlcoreError for an unknown name, listing experiments and families.
    """
    if name in EXPERIMENTS:
        return [EXPERIMENTS[name]]
    members = [e for e in EXPERIMENTS.values() if e.name.startswith(f"{name}_")]
    if not members:
        raise unknown("experiment", name, {*EXPERIMENTS, *families()})
    return members


def get_experiment(name: str) -> Experiment:
    """The experiment called `name`; an unknown name is refused with the list of known ones."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]
