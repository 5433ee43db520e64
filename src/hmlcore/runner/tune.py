"""What tuning chose: rates out of the store, into the ``rates.json`` that the study's grid reads. No torch."""

import json
from pathlib import Path

from hmlcore.errors import require
from hmlcore.files import json_text, write_files
from hmlcore.results import Store
from hmlcore.studies import folder_of, get_experiment

Rates = dict[str, dict[str, float]]
"""Case, the values of the experiment's factors, → mixer → learning rate."""


def tuned_rates(store: Store, profile: str, name: str) -> Rates:
    """The learning rate of each mixer in each case where several were tried, by validation with the first seed.

    Raises: HmlcoreError where the experiment chooses no rate, or nothing is stored.
    """
    experiment = get_experiment(name)
    require(experiment.criterion is not None, f"experiment {name!r} has no criterion: it tunes nothing")
    metric, mode = experiment.criterion
    results = experiment.load(store, profile)
    first = results.where(seed=min(results.seeds))
    factors = list(experiment.factors)
    tried = first.runs().groupby([*factors, "mixer"], dropna=False)["lr"].nunique()
    rates: Rates = {}
    for (*case, mixer), rows in first.best_lr(metric, mode, by=factors).runs().groupby([*factors, "mixer"]):
        if tried[(*case, mixer)] > 1:
            rates.setdefault(", ".join(map(str, case)), {})[mixer] = float(rows["lr"].iloc[0])
    return rates


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
