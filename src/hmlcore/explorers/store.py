"""What the store browser shows: every experiment's runs, what made them, their learning curves. No torch."""

import json

import numpy as np
import pandas as pd

from hmlcore.results import ResultSet, Store
from hmlcore.results.statistics import seed_interval
from hmlcore.studies import studies
from hmlcore.studies.kit.study import Experiment, Study

POINTS = 12
"""Of a curve, at most."""
_OWN = ("mixer", "variant", "task", "seed", "lr", "steps")
_METRICS = ("accuracy", "bits_per_byte", "bits_per_token", "exact", "score")


def store_data(store: Store, profiles: tuple[str, ...], specs: bool = True) -> dict:
    """All that is stored at these profiles, as JSON knows it; the runs of an experiment as rows of `columns`.

    Args: specs, whether each run has what its spec says of its own: most of the text.
    """
    found = [
        _experiment(study, experiment, profile, experiment.load(store, profile), specs)
        for profile in profiles
        for study in studies().values()
        for experiment in study.experiments
        if store.has_any(profile, experiment.name)
    ]
    return {"experiments": found}


def _experiment(study: Study, experiment: Experiment, profile: str, results: ResultSet, full: bool) -> dict:
    frame = results.frame
    first = frame.groupby("spec_hash", sort=False).first()
    specs = {str(digest): json.loads(text) for digest, text in first["spec"].items()}
    common = _common(list(specs.values()))
    tests = frame[frame["split"] == "test"] if (frame["split"] == "test").any() else frame
    metric = next((name for name in _METRICS if (tests["metric"] == name).any()), "")
    values = tests[tests["metric"] == metric].groupby("spec_hash")["value"].mean()
    made = first.to_dict("index")
    runs = [_run(digest, spec, made[digest], values) for digest, spec in specs.items()]
    if full:
        for run, spec in zip(runs, specs.values(), strict=True):
            run["spec"] = {key: value for key, value in spec.items() if key not in common}
    return {
        "name": experiment.name, "study": study.name, "question": experiment.question, "profile": profile,
        "metric": metric and f"{metric}, mean", "common": common, "columns": list(runs[0]),
        "rows": [list(run.values()) for run in runs], "curves": _curves(frame, specs),
    }  # fmt: skip


def _common(specs: list[dict]) -> dict:
    """What all specs say alike."""
    one, *others = specs
    return {key: value for key, value in one.items() if all(other.get(key) == value for other in others)}


def _run(digest: str, spec: dict, row: dict, values: pd.Series) -> dict:
    value = values.get(digest)
    value = None if value is None or not np.isfinite(value) else float(f"{value:.4g}")
    return {key: spec.get(key) for key in _OWN} | {
        "hash": digest[:16], "value": value, "commit": str(row["commit"])[:10], "device": row["device"],
        "wall_s": round(float(row["wall_s"]), 1), "parameters": int(row["parameters"]),
    }  # fmt: skip


def _curves(frame: pd.DataFrame, specs: dict[str, dict]) -> list[dict]:
    """Mean training loss over the runs of each contestant and task, with a t-interval from five seeds on."""
    rows = frame[(frame["split"] == "train") & (frame["metric"] == "loss")]
    if rows.empty:
        return []
    label = {digest: spec.get("variant") or spec["mixer"] for digest, spec in specs.items()}
    task = {digest: spec.get("task") for digest, spec in specs.items()}
    rows = rows.assign(label=rows["spec_hash"].map(label), on=rows["spec_hash"].map(task).fillna(""))
    found = []
    for (name, on), part in rows.groupby(["label", "on"], sort=False):
        table = part.pivot_table(index="step", columns="spec_hash", values="value").dropna()
        if table.empty:
            continue
        table = table.iloc[np.unique(np.linspace(0, len(table) - 1, POINTS).astype(int))]
        lows, highs = zip(*(_interval(row) for row in table.to_numpy()), strict=True)
        found.append(
            {
                "label": name, "mixer": part["mixer"].iloc[0], "task": on or None, "seeds": table.shape[1],
                "steps": [int(step) for step in table.index], "mean": _short(table.mean(axis=1)),
                "low": _short(lows), "high": _short(highs),
            }
        )  # fmt: skip
    return found


def _interval(values: np.ndarray) -> tuple[float, float]:
    found = seed_interval(values)
    if found.low is None or found.high is None:
        return found.mean, found.mean
    return found.low, found.high


def _short(values) -> list[float]:
    return [float(f"{value:.4g}") for value in values]
