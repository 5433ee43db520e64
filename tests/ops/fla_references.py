"""flash-linear-attention's plain torch references: of another hand than ours, needing neither GPU nor Triton.

Importing `fla.ops` imports Triton, so each reference is loaded from its own file.
"""

import importlib.util
from pathlib import Path

import pytest


def reference(op):
    """The module `fla/ops/<op>/naive.py`; skips where the package (fla-core) is not installed."""
    package = importlib.util.find_spec("fla")  # finds it without running it
    folders = package.submodule_search_locations if package else ()
    files = [file for folder in folders if (file := Path(folder, "ops", op, "naive.py")).is_file()]
    if not files:
        pytest.skip("fla-core is not installed: pip install hmlcore[test]")
    spec = importlib.util.spec_from_file_location(f"fla_naive_{op}", files[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
