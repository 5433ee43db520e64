"""What every test shares: one thread, a Ctrl-C that works, and a store of its own."""

import signal

import pytest
import torch

# Small tensors gain nothing from threads, and equal thread counts make equal sums.
torch.set_num_threads(1)

# A shell starts background jobs with Ctrl-C ignored, `nohup` with SIGHUP, and their children stay so.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config, items):
    """What is long runs where it is asked for."""
    if "long" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    """Results and checkpoints below `tmp_path`, for this process and the ones it starts."""
    for name in ("RESULTS", "CHECKPOINTS"):
        monkeypatch.setenv(f"HMLCORE_{name}", str(tmp_path / name.lower()))
    return tmp_path
