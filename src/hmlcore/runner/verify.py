"""Trust: make committed runs again and compare every stored value."""

import math
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from hmlcore.errors import require
from hmlcore.results import Store
from hmlcore.runner.lookup import find_run
from hmlcore.runner.run import execute
from hmlcore.runner.select import label
from hmlcore.runner.timed import measure
from hmlcore.studies import get_experiment, part, study_of
from hmlcore.studies.kit.claim import tolerance


@dataclass(frozen=True)
class Verdict:
    """One run made again: how many values agree exactly and within tolerance, and the largest difference."""

    label: str
    spec_hash: str
    values: int
    identical: int
    within: int
    worst: float

    @property
    def passed(self) -> bool:
        """Every value within tolerance."""
        return self.within == self.values


def verify(
    store: Store,
    profile: str,
    names: list[str],
    sample: int,
    seed: int | None = None,
    run: str = "",
    tell: Callable[[Verdict], object] = lambda verdict: None,
) -> list[Verdict]:
    """Re-run `sample` stored runs of the named experiments, chosen at random, in a scratch store.

    Args: seed of the choice, None for a new one each time. run, the first digits of a spec hash: that run.
        tell, is given each verdict as it is reached, since twenty of them may take hours.
    Raises: HmlcoreError where the store has too few runs, or none of that hash.
    """
    if run:
        found = find_run(store, run)
        return _told([(found.spec["experiment"], found.spec)], store, found.spec["profile"], tell)
    require(sample >= 1, f"sample must be at least 1, got {sample}")
    # A timing is of its minutes on its machine: there is nothing to compare it with.
    again = [get_experiment(n) for n in names if get_experiment(n).repeatable]
    specs = [
        (e.name, s) for e in again if store.has_any(profile, e.name) for s in e.load(store, profile).specs()
    ]
    require(
        len(specs) >= sample, f"sample = {sample}, but profile {profile!r} has {len(specs)} runs of {names}"
    )
    return _told(random.Random(seed).sample(specs, sample), store, profile, tell)


def _told(
    chosen: list[tuple[str, dict]], store: Store, profile: str, tell: Callable[[Verdict], object]
) -> list[Verdict]:
    verdicts = []
    for name, spec in chosen:
        verdicts.append(_again(store, profile, name, spec))
        tell(verdicts[-1])
    return verdicts


def keys_of(name: str) -> list[str]:
    """The columns that tell a value of experiment `name` from all others."""
    experiment = get_experiment(name)
    return list(dict.fromkeys(("spec_hash", "metric", "split", *experiment.factors, *experiment.conditions)))


def _again(store: Store, profile: str, name: str, spec: dict) -> Verdict:
    with tempfile.TemporaryDirectory() as scratch:
        again = Store(Path(scratch))
        if get_experiment(name).trained:
            with _one_thread():
                execute(spec, again, force=True, label=f"verify {label(spec)}")
        else:
            measure([spec], again, force=True)
        found = _values(again, profile, name)
    stored = _values(store, profile, name)
    stored = stored[stored["spec_hash"].isin(found["spec_hash"])]
    keys = [k for k in keys_of(name) if k in stored and k in found]
    pairs = stored.merge(found, on=keys, suffixes=("", "_again"), validate="one_to_one")
    # One that is measured now or then only is a value that does not agree.
    values = len(stored) + len(found) - len(pairs)
    gaps = [_gap(a, b) for a, b in zip(pairs["value"], pairs["value_again"], strict=True)]
    claims = [c for c in getattr(part(study_of(name).name, "claims"), "CLAIMS", []) if c.experiment == name]
    allowed = [tolerance(claims, m, v) for m, v in zip(pairs["metric"], pairs["value"], strict=True)]
    within = sum(math.isfinite(gap) and gap <= most for gap, most in zip(gaps, allowed, strict=True))
    worst = max((g for g in gaps if not math.isnan(g)), default=math.nan)
    digest = str(found["spec_hash"].iloc[0])
    return Verdict(label(spec), digest, values, sum(g == 0 for g in gaps), within, worst)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As `hml run` trains on a CPU, a process a core, if not told otherwise: sums come in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _gap(stored: float, found: float) -> float:
    """|stored − found|; 0 where both diverged alike, NaN where only one did."""
    alike = stored == found or (math.isnan(stored) and math.isnan(found))
    return 0.0 if alike else abs(stored - found)


def _values(store: Store, profile: str, name: str) -> pd.DataFrame:
    """Scores, without the learning curve (its points are means of single batches) and the machine's costs."""
    frame = store.load(profile, name).frame
    return frame[frame["split"] != "train"]
