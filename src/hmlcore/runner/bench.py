"""What `hml bench` does: everything timed, side by side, each measured, stored where whole, and printed.

Last a training step of HML against gated DeltaNet's, which is printed only.
"""

from collections.abc import Iterator

from hmlcore.checks import check_int, check_list, check_optional
from hmlcore.ops.backend import default_device
from hmlcore.results import Store
from hmlcore.runner.select import select
from hmlcore.runner.timed import measure
from hmlcore.studies import experiments, protocol
from hmlcore.studies.kit.study import check_profile
from hmlcore.studies.speed.steps import step_table

LONGEST = 2**24
"""Of what is timed, in tokens: a slip of the finger asks for more memory than there is."""


def bench(
    profile: str, store: Store, *, only: dict[str, list[str]], lengths: list[int] | None, force: bool = False
) -> Iterator[str]:
    """Measure what was chosen; the tables, each as soon as it is there, and what became of the runs.

    Args:
        only: as in ``select``, over mixers and ops alike.
        lengths: in place of the profile's, from 2 to LONGEST tokens.
        store: where whole grids go. A part, or other lengths, would not be comparable with what is stored of
            the rest, and is not stored.
    """
    check_profile(profile)
    check_optional("lengths", lengths, check_list, check_int, 2, LONGEST)
    whole = not (only or lengths)
    timed = [e.name for e in experiments().values() if not (e.trained or e.repeatable)]
    timings = {name: protocol(name) for name in timed if protocol(name).report is not None}
    specs = select([spec for timing in timings.values() for spec in timing.grid(profile)], only)
    if lengths:
        specs = [spec | {"lengths": lengths} for spec in specs]
    for name, timing in timings.items():
        if chosen := [spec for spec in specs if spec["experiment"] == name]:
            assert timing.report is not None  # as of all that are measured side by side
            yield timing.report(measure(chosen, store if whole else None, force=force))
    if whole:
        yield step_table(profile, default_device())
    yield f"stored below {store.root}" if whole else "not stored: only a whole grid is"
