"""Kernels of optional packages: where they run, what they take, and that nobody else needs the packages."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from hmlcore.ops import backend, extras

# Ops with kernels of ours, the form that a CPU takes instead, and the shared memory that they need.
OURS = {"hamiltonian": ("chunk", 166912), "nonlinear": ("segments", 81920)}


def test_neither_importing_the_ops_nor_choosing_on_a_cpu_imports_triton():
    code = (
        "import sys; sys.modules['triton'] = None; import json, hmlcore.ops; from hmlcore.ops import backend; "
        "print(json.dumps({op: backend.choose(op, 'cpu').form.name for op in backend.ops()}))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HMLCORE_BACKEND"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    chosen = json.loads(done.stdout or "{}")
    assert chosen.keys() == set(backend.ops()), done.stderr
    assert {op: chosen[op] for op in OURS} == {op: form for op, (form, _) in OURS.items()}


@pytest.mark.parametrize("op", OURS)
def test_our_kernels_come_first_and_never_run_on_a_cpu(op):
    kernel = backend._FORMS[op][0]
    assert kernel.name == "triton" and kernel.kernel
    assert kernel.obstacle(torch.device("cpu")) == "it needs a CUDA device"


@pytest.mark.parametrize("op", OURS)
def test_a_device_with_little_shared_memory_is_passed_over(monkeypatch, op):
    needed = OURS[op][1]
    monkeypatch.setattr(extras, "_import_problem", lambda *names: None)
    for found in (needed - 16 * 1024, needed, 232448):
        properties = SimpleNamespace(shared_memory_per_block_optin=found)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, found=properties: found)
        problem = backend._FORMS[op][0].obstacle(torch.device("cuda"))
        wanted = f"it needs {needed} bytes of shared memory a block, the device has {found}"
        assert problem == (wanted if found < needed else None)


@pytest.mark.parametrize("n", [1, 2, 3, 16, 17, 128])
def test_the_power_of_two_is_the_least(n):
    assert extras.power_of_two(n) == min(p for p in (1, 2, 4, 8, 16, 32, 64, 128) if p >= n)
