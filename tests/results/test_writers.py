"""Writers that share a store, and writers that die."""

import os
import signal
import subprocess
import sys
import time

import pytest

from hmlcore.results import Store

# Each writer stores its own runs and, over and over, one run that all of them share.
WRITER = """
import sys
from made_up import long_run
from hmlcore.results import Store
store, first, count = Store(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
for seed in range(first, first + count):
    store.write(long_run(seed=seed))
    store.write(long_run(seed=999_999))
    print(seed, flush=True)
"""


def writer(store, first, count, code=WRITER):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(store.root), str(first), str(count)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def test_two_writers_at_once(store):
    both = [writer(store, 0, 40), writer(store, 1000, 40)]
    while any(process.poll() is None for process in both):
        if store.has_any("smoke", "copy"):
            store.load("smoke", "copy")  # a reader meanwhile never meets half a file
        time.sleep(0.02)
    assert [process.wait() for process in both] == [0, 0]
    loaded = store.load("smoke", "copy")
    assert loaded.seeds == [*range(40), *range(1000, 1040), 999_999]
    assert len(loaded.frame) == 81 * 100
    for process in both:
        process.stdout.close()


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_killed_writers_lose_nothing_they_finished(store):
    for attempt in range(4):
        with writer(store, 1000 * attempt, 900) as process:
            for _ in range(3 + attempt):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            finished = {int(line) for line in process.stdout.read().split()}
        assert process.returncode == -signal.SIGKILL
        seeds = set(store.load("smoke", "copy").seeds)
        assert finished | {1000 * attempt + i for i in range(3 + attempt)} <= seeds
