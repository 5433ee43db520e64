"""What tuning chose: rates out of the store, into the ``rates.json`` that the study's grid reads. No torch."""

import json
from pathlib import Path

import pandas as pd

from hmlcore.errors import require
from hmlcore.files import json_text, write_files
from hmlcore.results import ResultSet, Store
from hmlcore.studies import folder_of, get_experiment
from hmlcore.studies.kit.study import Experiment

Rates = dict[str, dict[str, float]]
"""Case, the values of the experiment's factors, → mixer → learning rate."""


def tuned_rates(store: Store, profile: str, name: str) -> Rates:
    """The learning rate of each mixer in each case where several were tried, by validation with all seeds that
    tried them all; of the configurations among which the experiment chooses, the best one alone.

    Raises: HmlcoreError where the experiment chooses no rate, or nothing is stored.
    """
    return {
        case: {row["mixer"]: row["lr"] for _, row in rows.iterrows()}
        for case, rows in _chosen(store, profile, name).groupby("case", sort=False)
    }


def at_the_edge(store: Store, profile: str, name: str) -> list[str]:
    """A line for each choice that is the smallest or the largest of the rates that were tried."""
    chosen = _chosen(store, profile, name)
    edges = chosen[(chosen["lr"] == chosen["lowest"]) | (chosen["lr"] == chosen["highest"])]
    return [
        f"{row['case']}: {row['mixer']} does best at {row['lr']:g}, the edge of {row['lowest']:g} … "
        f"{row['highest']:g}"
        for _, row in edges.iterrows()
    ]


def _chosen(store: Store, profile: str, name: str) -> pd.DataFrame:
    """A row a choice: case, mixer, lr, and the lowest and highest rate tried."""
    experiment = get_experiment(name)
    require(experiment.criterion is not None, f"experiment {name!r} has no criterion: it tunes nothing")
    metric, mode = experiment.criterion
    results = experiment.load(store, profile)
    keys = [*experiment.factors, "mixer"]
    tried = results.runs().groupby(keys, dropna=False)["lr"].agg(["nunique", "min", "max"])
    best = results.best_lr(metric, mode, by=list(experiment.factors))
    found = best.runs().groupby(keys)["lr"].first().to_frame().join(tried)
    found = found[found["nunique"] > 1]
    if experiment.among:
        found = _best_of(found, best, experiment)
    found = found.rename(columns={"min": "lowest", "max": "highest"}).reset_index()
    case = [", ".join(map(str, row)) for row in found[list(experiment.factors)].itertuples(index=False)]
    return found.assign(case=case)


def _best_of(found: pd.DataFrame, best: ResultSet, experiment: Experiment) -> pd.DataFrame:
    """Of every case and mixer the rows of the best of the configurations."""
    metric, mode = experiment.criterion
    rows = best.metric(metric, split="validation")
    scores = rows.groupby([*experiment.factors, "mixer"])["value"].mean().reindex(found.index)
    scores = -scores if mode == "min" else scores
    others = [key for key in found.index.names if key != experiment.among]
    return found.loc[scores.fillna(float("-inf")).groupby(others, sort=False).idxmax()]


def tune(store: Store, profile: str, name: str) -> Path:
    """Write what :func:`tuned_rates` chose beside the study's grid; other experiments and profiles stay.

    Returns: the file. Raises: HmlcoreError where no case has several rates.
    """
    rates = tuned_rates(store, profile, name)
    require(bool(rates), f"no mixer of {name!r} has several learning rates at profile {profile!r}")
    path = folder_of(name) / "rates.json"
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    known.setdefault(profile, {})[name] = rates
    write_files(path.parent, {path.name: json_text(known, 1)})
    return path
