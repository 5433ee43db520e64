"""A store of made-up results, filled once."""

import os

import pytest
from made_up_results import fill

from hmlcore.results import ResultSet, Store
from hmlcore.studies.export import export_all


class Remembering(Store):
    """A store that nobody writes to any more, so that each experiment is read once."""

    def __init__(self, root):
        super().__init__(root)
        self.known = {}

    def load(self, profile, experiment, **how) -> ResultSet:
        if (profile, experiment) not in self.known:
            self.known[profile, experiment] = super().load(profile, experiment, **how)
        known = self.known[profile, experiment]
        return ResultSet(known.frame.copy(), known.tuning)


@pytest.fixture(scope="session")
def made_up_store(tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # half of the time, for files that outlive no crash
        fill(Store(folder))
    return Remembering(folder)


@pytest.fixture(scope="session")
def exported(made_up_store, tmp_path_factory):
    """The folder of all that the made-up store has, without images."""
    out = tmp_path_factory.mktemp("exported")
    assert export_all(made_up_store, "laptop", out, images=False).notices == []
    return out
