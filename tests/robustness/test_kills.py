"""Killed again and again, at any moment, a grid ends with the results of one that was left alone."""

import os
import random
import signal
import time

import pytest
from tiny_grids import GRID, context, make
from tiny_runs import values

from hmlcore.results import Store
from hmlcore.runner import run_grid

pytestmark = [
    pytest.mark.usefixtures("own_folders"),
    pytest.mark.skipif(os.name != "posix", reason="forks and SIGKILL are POSIX"),
]


def kill(folder, seconds):
    """Start the grid, and kill it after so long; whether it was done."""
    process = context().Process(target=make, args=(GRID, folder))
    process.start()
    process.join(seconds)
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


@pytest.mark.parametrize("count", [25, pytest.param(100, marks=pytest.mark.long)])
def test_kills_change_nothing(count, own_folders, tmp_path):
    """Grids are begun afresh when they are done, until as many kills were survived."""
    rng, alone, begun = random.Random(count), Store(tmp_path / "alone"), time.monotonic()
    run_grid(GRID, alone)
    takes = time.monotonic() - begun
    wanted, kills, grids = values(alone), 0, 0
    while kills < count:
        folder = own_folders / f"grid-{grids}"
        folder.mkdir()
        while kills < count and not kill(folder, rng.uniform(0, takes)):
            kills += 1
        make_whole = context().Process(target=make, args=(GRID, folder))
        make_whole.start()
        make_whole.join()
        assert values(Store(folder / "results")) == wanted
        left = [p.name for p in folder.rglob("*") if p.is_file() and p.suffix != ".parquet"]
        assert left == ["started"], "nothing but results"
        grids += 1
    print(f"{kills} kills of {grids} grids of {len(GRID)} runs in {time.monotonic() - begun:.0f} s")
