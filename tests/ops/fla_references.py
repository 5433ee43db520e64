"""flash-linear-attention's plain torch references: of another hand than ours, needing neither GPU nor Triton.

Importing `fla.ops` imports Triton, so each reference is loaded from its own file.
"""

import importlib.util
from pathlib import Path


def reference(op):
    """The module `fla/ops/<op>/naive.py` of fla-core, which the extra `test` installs: absent, it fails."""
    package = importlib.util.find_spec("fla")  # finds it without running it
    assert package is not None, "fla-core is not installed: pip install hmlcore[test]"
    folders = package.submodule_search_locations
    file = next(f for folder in folders if (f := Path(folder, "ops", op, "naive.py")).is_file())
    spec = importlib.util.spec_from_file_location(f"fla_naive_{op}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
