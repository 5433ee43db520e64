"""Test files that also run as programs: Triton's interpreter must be chosen before Triton is imported."""

import functools
import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch


@functools.cache
def as_a_program(file, **variables):
    """What `file` prints, run as a program once, line by line, and the end of what it says of errors.

    Without Triton the test that asks is skipped, unless HMLCORE_REQUIRE_TRITON says that it has to be there.
    """
    if not importlib.util.find_spec("triton") and "HMLCORE_REQUIRE_TRITON" not in os.environ:
        pytest.skip("needs Triton, which comes with a CUDA torch (on a CPU: make kernels, about 1 GB)")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)} | variables
    done = subprocess.run([sys.executable, file], env=environment, capture_output=True, text=True)
    return dict(json.loads(line) for line in done.stdout.splitlines()), done.stderr[-2000:]


def assert_right(file, case, tolerance):
    """Every error of the case that `file` prints in the interpreter is below the tolerance."""
    found, failure = as_a_program(file, TRITON_INTERPRET="1")
    assert case in found, failure
    assert not {name: gap for name, gap in found[case].items() if not float(gap) < tolerance}


def assert_compiled(file, folder, count):
    """`file` compiles so many kernels: the interpreter runs what the compiler may refuse."""
    found, failure = as_a_program(file, TRITON_CACHE_DIR=str(folder))
    assert len(found) == count, failure
    assert all(size > 0 for size in found.values())


def interpret(cases, *modules):
    """Run the cases and print their errors: outputs poisoned before they are written, every address checked.

    The loops of `modules` count to a number: Triton 3.6 and NumPy 2.4 disagree about arrays of one.
    """
    import numpy as np

    def loop(*bounds):
        return range(*(int(b.handle.data.item()) if hasattr(b, "handle") else int(b) for b in bounds))

    for module in modules:
        module.range = loop
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    assert torch.empty(3).isnan().all()
    check = watch_addresses()
    with pytest.raises(AssertionError, match="out of bounds"):  # no tensor has been given yet
        check(np.array([8]), np.array([True]))
    for name, case in cases.items():
        print(json.dumps([name, {what: str(gap) for what, gap in case().items()}]), flush=True)


def compile_kernel(name, kernel, kinds, fixed):
    """Compile for compute capability 9.0, which takes no GPU, and print how large it is."""
    import triton
    from triton.backends.compiler import GPUTarget

    source = triton.compiler.ASTSource(kernel, kinds, fixed)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
    print(json.dumps([name, len(compiled.asm["cubin"])]), flush=True)


def watch_addresses():
    """Make the interpreter refuse every access outside the tensors that the running kernel was given."""
    import numpy as np
    from triton.runtime import interpreter

    spans = []
    hand_over = interpreter.GridExecutor._init_args_hst

    def remember(self, args, kwargs):
        given = hand_over(self, args, kwargs)
        tensors = [x for x in (*given[0], *given[1].values()) if isinstance(x, torch.Tensor)]
        assert tensors and all(x.is_contiguous() for x in tensors)
        spans[:] = [(x.data_ptr(), x.data_ptr() + x.nbytes) for x in tensors]
        return given

    def check(addresses, mask):
        """Refuse the addresses that the mask lets through and no span holds."""
        at = np.asarray(addresses)[np.broadcast_to(mask, np.shape(addresses)).astype(bool)].astype(np.int64)
        inside = np.zeros(at.shape, bool)
        for low, high in spans:
            inside |= (at >= low) & (at < high)
        assert inside.all(), "a kernel reads or writes out of bounds"

    def checked(name):
        original = getattr(interpreter.InterpreterBuilder, name)

        def access(self, addresses, *rest):
            check(addresses.data, (rest[1] if "store" in name else rest[0]).data)
            return original(self, addresses, *rest)

        return access

    interpreter.GridExecutor._init_args_hst = remember
    for name in ("create_masked_load", "create_masked_store"):  # the unmasked ones come by here
        setattr(interpreter.InterpreterBuilder, name, checked(name))
    return check
