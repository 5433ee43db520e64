"""What `hml bench` does: layers side by side, then ops, each measured, stored where whole, and printed."""

from collections.abc import Iterator

from hmlcore.experiments.base import check_profile, select
from hmlcore.experiments.op_speed import OP_SPEED
from hmlcore.experiments.op_table import op_table
from hmlcore.experiments.side_by_side import measure
from hmlcore.experiments.speed import SPEED, timing_table
from hmlcore.results import Store

BENCHES = {SPEED: timing_table, OP_SPEED: op_table}
"""What is timed, and how its runs are printed."""


def bench(
    profile: str, store: Store, *, only: dict[str, list[str]], lengths: list[int] | None, force: bool = False
) -> Iterator[str]:
    """Measure what was chosen; the tables, each as soon as it is there, and what became of the runs.

    Args:
        only: as in ``select``, over mixers and ops alike.
        lengths: in place of the profile's.
        store: where whole grids go. A part, or other lengths, would not be comparable with what is stored of
            the rest, and is not stored.
    """
    check_profile(profile)
    whole = not (only or lengths)
    specs = select([spec for experiment in BENCHES for spec in experiment.grid(profile)], only)
    if lengths:
        specs = [spec | {"lengths": lengths} for spec in specs]
    for experiment, table in BENCHES.items():
        if chosen := [spec for spec in specs if spec["experiment"] == experiment.name]:
            yield table(measure(chosen, store if whole else None, force=force))
    yield f"stored below {store.root}" if whole else "not stored: only a whole grid is"
