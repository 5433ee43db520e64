"""What every test shares: one thread, a Ctrl-C that works, and a store of its own."""

import signal

import pytest
import torch

# Small tensors gain nothing from threads, and equal thread counts make equal sums.
torch.set_num_threads(1)

# A shell starts background jobs with Ctrl-C ignored, and they and their children stay so.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """Where several processes share the tests, a module stays in one, and so do all users of the smoke book."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            group = "smoke book" if "smoke_book" in item.fixturenames else str(item.path)
            item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    """Results and checkpoints below `tmp_path`, for this process and the ones it starts."""
    for name in ("RESULTS", "CHECKPOINTS"):
        monkeypatch.setenv(f"HMLCORE_{name}", str(tmp_path / name.lower()))
    return tmp_path
