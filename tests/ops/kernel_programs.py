"""Test files that also run as programs: Triton's interpreter must be chosen before Triton is imported."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest


def as_a_program(file, **variables):
    """What `file` prints, run as a program, line by line, and the end of what it says of errors.

    Without Triton the test that asks is skipped, unless HMLCORE_REQUIRE_TRITON says that it has to be there.
    """
    if not importlib.util.find_spec("triton") and "HMLCORE_REQUIRE_TRITON" not in os.environ:
        pytest.skip("needs Triton, which comes with a CUDA torch (on a CPU: make kernels, about 1 GB)")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True)
    return dict(json.loads(line) for line in done.stdout.splitlines()), done.stderr[-2000:]
