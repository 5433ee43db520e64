"""Grids in processes of their own, forked from one that has imported everything, so that a start is cheap."""

import functools
import multiprocessing
import os
import sys
from multiprocessing import forkserver
from pathlib import Path

import pytest
import torch
from tiny_runs import tiny

from hmlcore import cli
from hmlcore.interrupts import listening
from hmlcore.results import Store
from hmlcore.runner import grid, run
from hmlcore.studies.copy.grid import PROTOCOLS
from hmlcore.studies.kit.study import Protocol

torch.set_num_threads(1)

GRID = [tiny(mixer, seed, steps=12) for seed in (0, 1) for mixer in ("hml", "gru")]


def context():
    """Where such processes come from."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["tiny_grids"])
    with pytest.MonkeyPatch.context() as patch:  # it does not ask where modules are found
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return forks


def command(arguments: list[str], output: Path | str, environment: dict[str, str]) -> None:
    """`hml` in a session of its own, printing to `output`; the grid of `copy` is one run of a minute."""
    os.setsid()
    long = tiny("gru", steps=10_000)
    PROTOCOLS["copy"] = Protocol(lambda profile: [long], PROTOCOLS["copy"].measure)
    os.environ.update(environment)
    stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_NOCTTY)
    for standard in (1, 2):
        os.dup2(stream, standard)
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(cli.main(arguments))


def make(specs, folder: Path, result=None) -> None:
    """`run_grid` on the store in `folder`, checkpoints at every step, and a line in `started` a run."""
    os.environ["HMLCORE_CHECKPOINTS"] = str(folder / "checkpoints")
    execute = run.execute

    def noted(spec, *arguments, **options):
        with (folder / "started").open("a") as file:
            file.write(f"{os.getpid()} {spec['mixer']} {spec['seed']}\n")
        return execute(spec, *arguments, **options)

    grid.execute = noted
    run.train = functools.partial(run.train, checkpoint_seconds=0)
    with listening():
        outcome = grid.run_grid(specs, Store(folder / "results"))
    if result is not None:
        result.put(outcome)


def make_on_terminal(name: str, specs, folder: Path) -> None:
    """:func:`make`, showing its progress on a terminal."""
    stream = os.open(name, os.O_RDWR | os.O_NOCTTY)
    for standard in (1, 2):
        os.dup2(stream, standard)
    os.close(stream)
    make(specs, folder)
