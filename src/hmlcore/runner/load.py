"""How a chapter asks the store: what is there is read, what is missing is made or named."""

import time

import pandas as pd

from hmlcore import paths
from hmlcore.errors import HmlcoreError
from hmlcore.results import ResultSet, Store, spec_hash
from hmlcore.results.tuning import tuned
from hmlcore.runner.grid import default_jobs, run_grid
from hmlcore.runner.select import label
from hmlcore.studies import get_experiment, protocol
from hmlcore.studies.kit.study import check_profile


def results_of(name: str, profile: str, run_missing: bool = False) -> ResultSet:
    """All results of experiment `name` at `profile`: exactly the runs of its grid.

    Args:
        run_missing: make what the store lacks; `smoke` does so anyway, since it is never committed.
    Raises: HmlcoreError naming the command that makes the missing runs, or why they failed.
    """
    check_profile(profile)
    specs = protocol(name).grid(profile)
    store = Store(paths.results())
    missing = [s for s in specs if not store.has(s)]
    while missing and (run_missing or profile == "smoke"):
        outcome = run_grid(missing, store, jobs=default_jobs())
        if outcome.failed:
            raise HmlcoreError(next(iter(outcome.failed.values())))
        _await([s for s in missing if label(s) in outcome.elsewhere], store)
        missing = [s for s in missing if not store.has(s)]
        if not outcome.elsewhere:
            break
    if missing:
        raise HmlcoreError(
            f"the store lacks {len(missing)} of {len(specs)} runs of {name!r} at profile {profile!r}; "
            f"make them with: hml run {name} --profile {profile}"
        )
    found = get_experiment(name).load(store, profile)
    return found.where(spec_hash=[spec_hash(s) for s in specs])


def _await(specs: list[dict], store: Store) -> None:
    """Wait while others make runs of `specs`: a chapter reads all or none."""
    for spec in specs:
        while True:
            with store.claim(spec) as holder:
                if not holder:
                    break
            time.sleep(1)


def trace_of(name: str, profile: str, run_missing: bool = False) -> pd.DataFrame:
    """The traces of experiment `name`, of the runs at the chosen learning rates; else as :func:`results_of`."""
    chosen = tuned(results_of(name, profile, run_missing)).hashes
    trace = Store(paths.results()).trace(profile, name)
    return trace[trace["spec_hash"].isin(chosen)].reset_index(drop=True)
