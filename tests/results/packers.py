"""Processes that write, pack and read one store, and are killed: run as a script, since it forks.

    packers.py random|every|together <root> <seed>

Prints what went wrong; silence is success. Imports come first, so that a fork costs milliseconds; Arrow is used
in forks only, as its threads do not survive one.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import pandas  # noqa: F401 (read in every fork)
from made_up import long_run

from hmlcore.results import Store
from hmlcore.results.pack import pack

ROWS = 100


def made(seed):
    """A run that is known by its seed; every third has a trace."""
    return long_run(seed=seed, trace=[{"t": t, "q": seed + t / 8} for t in range(8)] if seed % 3 == 0 else None)


def forked(work):
    """The process id of a fork that does `work()`; it exits with 1 and its error where that raises."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    os._exit(code)


def ended(process):
    return os.waitpid(process, 0)[1]


def check(root, expected, values=True):
    """Every expected run is there, once, with all its rows (and their values) and its trace."""

    def work():
        store = Store(root)
        frame = store.load("smoke", "copy").frame
        counts = frame.groupby("seed").size()
        assert expected <= set(counts.index), f"lost {sorted(expected - set(counts.index))}"
        assert (counts == ROWS).all(), f"rows doubled or lost: {counts[counts != ROWS].to_dict()}"
        for seed, part in frame.groupby("seed") if values else ():
            wanted = [row["value"] for row in made(int(seed)).rows]
            assert list(part["value"]) == wanted, f"seed {seed} has other values"
        traced = [seed for seed in expected if seed % 3 == 0]
        if traced:
            sizes = store.trace("smoke", "copy", seed=traced).groupby("seed").size()
            assert set(sizes.index) == set(traced) and (sizes == 8).all(), f"traces: {sizes.to_dict()}"
        assert all(store.has(made(seed).spec) for seed in expected)

    ended(forked(work))


def write_and_pack(root, first, report):
    store = Store(root)
    for seed in range(first, first + 1000):
        store.write(made(seed))
        os.write(report, f"{seed}\n".encode())
        if seed % 4 == 3:
            pack(store, "smoke")


def kill_at_random(root, seed):
    """25 times: a process that writes and packs is killed at some moment."""
    draw, finished = random.Random(seed), set()
    for attempt in range(25):
        read, report = os.pipe()
        process = forked(lambda first=1000 * attempt, end=report: write_and_pack(root, first, end))
        os.close(report)
        time.sleep(draw.uniform(0.01, 0.15))
        os.kill(process, signal.SIGKILL)
        ended(process)
        with os.fdopen(read) as lines:
            finished |= {int(line) for line in lines.read().split()}
        if finished:
            check(root, finished, values=False)
    assert len(finished) > 25, f"only {len(finished)} runs were written: the moments were all too early"
    ended(forked(lambda: pack(Store(root), "smoke")))
    check(root, finished)


def kill_at_every_step(root, _):
    """A packer is killed before each of the things it does to the disk, one after the other."""

    def files():
        return {path: path.read_bytes() for path in Path(root).rglob("*.parquet")}

    def begin():
        store = Store(root)
        for seed in (3, 7):
            store.write(made(seed))
        pack(store, "smoke")
        for seed in (1, 6):
            store.write(made(seed))

    ended(forked(begin))
    before, wanted, kills = files(), None, 0
    for step in reversed(range(40)):  # it has fewer: the first of these packers are never killed
        for path in files():
            path.unlink()
        for path, content in before.items():
            path.write_bytes(content)
        killed = ended(forked(lambda step=step: killed_packing(root, step))) != 0
        wanted = wanted or files()
        if killed:
            kills += 1
            check(root, {1, 3, 6, 7})
            ended(forked(lambda: pack(Store(root), "smoke")))
        assert files() == wanted, f"killed at step {step}, then packed: {sorted(files())}"
    assert 20 < kills < 40 and len(wanted) == 2, f"{kills} kills"


def killed_packing(root, step):
    left = [step]

    def counted(function):
        def call(*arguments, **options):
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            return function(*arguments, **options)

        return call

    os.fsync = counted(os.fsync)
    for name in ("replace", "unlink", "open", "mkdir"):
        setattr(Path, name, counted(getattr(Path, name)))
    pack(Store(root), "smoke")


def together(root, seed):
    """Two writers, two packers and a reader at once."""
    Store(root).write(made(0))

    def write(first):
        for number in range(first, first + 30):
            Store(root).write(made(number))

    def keep_packing(number):
        draw, until = random.Random(seed + number), time.monotonic() + 60
        while not (Path(root) / "done").exists() and time.monotonic() < until:
            pack(Store(root), "smoke")
            time.sleep(draw.uniform(0, 0.02))

    def keep_reading():
        seen, until = set(), time.monotonic() + 60
        while not (Path(root) / "done").exists() and time.monotonic() < until:
            found = Store(root).load("smoke", "copy").frame.groupby("seed").size()
            assert seen <= set(found.index), f"a reader lost {sorted(seen - set(found.index))}"
            assert (found == ROWS).all(), "a reader met half a run, or one twice"
            seen = set(found.index)

    writers = [forked(lambda first=first: write(first)) for first in (1, 1001)]
    others = [forked(lambda number=number: keep_packing(number)) for number in range(2)]
    others.append(forked(keep_reading))
    for process in writers:
        ended(process)
    (Path(root) / "done").touch()
    for process in others:
        ended(process)
    ended(forked(lambda: pack(Store(root), "smoke")))
    check(root, {0, *range(1, 31), *range(1001, 1031)})


if __name__ == "__main__":
    modes = {"random": kill_at_random, "every": kill_at_every_step, "together": together}
    modes[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
