"""Packers that share a store with each other, with writers and with readers, and packers that are killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packers import made

from hmlcore.results import Store
from hmlcore.results.pack import pack

pytestmark = pytest.mark.skipif(os.name != "posix", reason="fork and SIGKILL are POSIX")


def run_packers(mode, root, seed=0):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(Path(__file__).with_name("packers.py")), mode, str(root), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    return Store(root)


def test_a_packer_killed_at_any_moment_loses_and_doubles_nothing(tmp_path):
    store = run_packers("random", tmp_path / "killed")
    # What is left is what an undisturbed packer makes of the same runs.
    calm = Store(tmp_path / "calm")
    for seed in store.load("smoke", "copy").seeds:
        calm.write(made(seed))
    pack(calm, "smoke")
    for trace in (False, True):
        one, other = (s.place("smoke", "copy").packed(trace).read_bytes() for s in (store, calm))
        assert one == other


def test_a_packer_killed_before_each_of_its_steps_loses_and_doubles_nothing(tmp_path):
    run_packers("every", tmp_path)


def test_writers_packers_and_a_reader_at_once(tmp_path):
    store = run_packers("together", tmp_path)
    assert not store.place("smoke", "copy").loose() and not store.place("smoke", "copy").loose(trace=True)
