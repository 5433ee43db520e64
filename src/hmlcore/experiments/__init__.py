"""Experiments: which runs answer which question, and the machinery that makes them."""

from hmlcore.experiments.ask import results_of, trace_of
from hmlcore.experiments.base import COMPARED, PROFILES, Experiment, check_profile, select
from hmlcore.experiments.grid import Outcome, run_grid
from hmlcore.experiments.registry import EXPERIMENTS, experiments_named, get_experiment
from hmlcore.experiments.run import execute

__all__ = [
    "COMPARED", "EXPERIMENTS", "PROFILES", "Experiment", "Outcome", "check_profile", "execute",
    "experiments_named", "get_experiment", "results_of", "run_grid", "select", "trace_of",
]  # fmt: skip
