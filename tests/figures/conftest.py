"""A store of made-up results, filled once."""

import pytest
from made_up_results import fill

from hmlcore.results import Store


@pytest.fixture(scope="session")
def made_up_store(tmp_path_factory) -> Store:
    return fill(Store(tmp_path_factory.mktemp("store")))
