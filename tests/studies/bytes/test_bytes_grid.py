"""The bytes' runs: those whose portrait is drawn left their trace."""

from hmlcore import paths
from hmlcore.results import Store, spec_hash
from hmlcore.studies.bytes.grid import grid


def test_every_trained_run_of_the_portrait_has_its_trace():
    traced = {spec_hash(s) for s in grid("laptop") if "trace" in s}
    assert traced and traced == set(Store(paths.root() / "results").trace("laptop", "bytes")["spec_hash"])
