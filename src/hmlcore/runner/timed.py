"""Runs that are worth something only side by side: timings, measured together in one process."""

from hmlcore.errors import HmlcoreError
from hmlcore.ops.backend import default_device
from hmlcore.results import Run, Store, canonical, source_revision
from hmlcore.runner.model import check_machine
from hmlcore.studies import get_experiment, protocol


def is_side_by_side(spec: dict) -> bool:
    """Whether the run of `spec` is measured together with the rest of its grid."""
    try:
        return not get_experiment(spec["experiment"]).trained
    except HmlcoreError:  # an experiment of somebody's own
        return False


def measure(specs: list[dict], store: Store | None, *, force: bool = False) -> list[Run]:
    """Measure `specs` of one experiment together, and store each if there is a store, replacing what it had.

    Nothing is stored before all are measured. Raises: HmlcoreError for what cannot run.
    """
    device = default_device()
    check_machine(specs[0]["profile"], device, source_revision()[1], force)
    together = protocol(specs[0]["experiment"]).side_by_side
    assert together is not None
    runs = together(specs, device)
    if store is not None:
        for run in runs:
            store.write(run, replace=True)
    return runs


def whole_grid(specs: list[dict]) -> list[dict]:
    """The grid that `specs` are a part of: one missing timing means that all are taken anew."""
    grid = protocol(specs[0]["experiment"]).grid(specs[0]["profile"])
    known = {canonical(spec) for spec in grid}
    return grid if all(canonical(spec) in known for spec in specs) else specs
