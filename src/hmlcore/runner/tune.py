"""What tuning chose: rates out of the store, into the ``rates.json`` that the study's grid reads."""

import shlex
from pathlib import Path
from typing import NamedTuple

from hmlcore.errors import HmlcoreError, require
from hmlcore.files import json_text, read_json, write_files
from hmlcore.results import ResultSet, Store
from hmlcore.studies import folder_of, get_experiment, protocol
from hmlcore.studies.kit.study import Experiment, field_values
from hmlcore.studies.kit.tuning import Tuned, as_stored, next_rate, read_tuned

Rates = dict[str, dict[str, Tuned]]
"""Case, the values of the experiment's factors, → mixer → what was chosen and tried."""


class Written(NamedTuple):
    """The file that was written, and a line for each mixer whose best rate is at the edge of what it tried."""

    path: Path
    edges: list[str]


def tuned_rates(store: Store, profile: str, name: str) -> Rates:
    """The learning rate of each mixer in each case where several were tried, by the mean of the validation
    criterion over all seeds that tried every one of them; of the configurations among which the experiment
    chooses, all but the best say that they are not.

    Raises: HmlcoreError where the experiment chooses no rate, nothing is stored, or no seed tried all rates.
    """
    experiment = get_experiment(name)
    if experiment.criterion is None:
        raise HmlcoreError(f"experiment {name!r} has no criterion: it tunes nothing")
    metric, mode = experiment.criterion
    results = experiment.load(store, profile)
    keys = [*experiment.factors, "mixer"]
    best = results.best_lr(metric, mode, by=list(experiment.factors))
    chosen = {key: float(runs["lr"].iloc[0]) for key, runs in best.runs().groupby(keys)}
    found = {}
    for key, runs in results.runs().groupby(keys):
        by_rate = runs.groupby("lr")["seed"].agg(set)
        if len(by_rate) > 1:
            seeds = sorted(int(seed) for seed in set.intersection(*by_rate))
            found[key] = Tuned(chosen[key], tuple(map(float, by_rate.index)), tuple(seeds))
    first = set(_best_of(found, best, experiment) if experiment.among else found)
    rates: Rates = {}
    for (*case, mixer), tuned in found.items():
        own = tuned._replace(best=(*case, mixer) in first)
        rates.setdefault(", ".join(map(str, case)), {})[mixer] = own
    return rates


def _best_of(found: dict[tuple, Tuned], best: ResultSet, experiment: Experiment) -> list[tuple]:
    """Of every case and mixer (a key of `found`) the one with the best of the configurations."""
    assert experiment.criterion is not None  # it has chosen rates
    metric, mode = experiment.criterion
    keys = [*experiment.factors, "mixer"]
    scores = best.metric(metric, split="validation").groupby(keys)["value"].mean()
    scores = (-scores if mode == "min" else scores)[list(found)]
    others = [key for key in keys if key != experiment.among]
    return list(scores.fillna(float("-inf")).groupby(others, sort=False).idxmax())


def tune(store: Store, profile: str, name: str) -> Written:
    """Write what :func:`tuned_rates` chose beside the study's grid; other experiments and profiles stay.

    Raises: HmlcoreError where no case has several rates.
    """
    rates = tuned_rates(store, profile, name)
    require(bool(rates), f"no mixer of {name!r} has several learning rates at profile {profile!r}")
    path = folder_of(name) / "rates.json"
    read_tuned(path.parent)  # or refuse what stands there, before it is written again
    known = read_json(path) if path.is_file() else {}
    known.setdefault(profile, {})[name] = {
        case: {mixer: as_stored(found) for mixer, found in mixers.items()} for case, mixers in rates.items()
    }
    write_files(path.parent, {path.name: json_text(known, 1)})
    return Written(path, edges(profile, name, rates))


def edges(profile: str, name: str, rates: Rates) -> list[str]:
    """A line for each mixer and case at the edge: what was tried, and the command of the rate that the study's
    grid tries next, where it tries one."""
    specs = protocol(name).grid(profile)
    factors = get_experiment(name).factors
    lines = []
    for case, mixers in rates.items():
        for mixer, found in mixers.items():
            if not found.edge:
                continue
            tried = ", ".join(f"{lr:g}" for lr in found.tried)
            line = f"{name} {case}, {mixer}: {found.lr:g} is at the edge of {tried}".replace("  ", " ")
            own = [s for s in specs if s["mixer"] == mixer and s.get("lr") == next_rate(found)]
            own = [s for s in own if ", ".join(v for f in factors for v in _values(s, f)) == case]
            lines.append(f"{line}; {_command(own[0], factors) if own else 'its grid tries none beyond'}")
    return lines


def _command(spec: dict, factors: tuple[str, ...]) -> str:
    """What makes the run of `spec` and its like, the other seeds that the grid asks for."""
    fields = {"mixer": spec["mixer"], "lr": spec["lr"]}
    fields |= {factor: value for factor in factors for value in _values(spec, factor)}
    only = " ".join(shlex.quote(f"{key}={value}") for key, value in fields.items())
    return f"hml run {spec['experiment']} --profile {spec['profile']} --only {only}"


def _values(spec: dict, factor: str) -> list[str]:
    """What a run is told apart by: its own field, of which that of its training tasks may be another ("recall"
    is trained on "mqar"); else theirs."""
    return [str(spec[factor])] if factor in spec else sorted(field_values(spec, factor))
