"""The frontier of all mixers and the bound that no memory exceeds."""

import math

import pytest
from made_up_results import ALL_MIXERS, frontier_run, loaded

from hmlcore.errors import HmlcoreError
from hmlcore.results import Store
from hmlcore.studies.recall.bound import information_bytes, synthetic_frontier


def test_information_is_that_of_all_assignments():
    # Two of three keys, each given one of four values, no value twice: 3 · 4 · 3 ways.
    assert information_bytes(2, 8) == pytest.approx(math.log2(36) / 8)
    with pytest.raises(HmlcoreError, match="pairs must be between 1 and 3, not 4"):
        information_bytes(4, 8)


def test_frontier_shows_the_bound_of_the_pairs_chosen(made_up_store):
    fig = synthetic_frontier(loaded(made_up_store, "synthetic_recall"))
    (slider,) = fig.layout.sliders
    for step, pairs in zip(slider.steps, (4, 8, 16), strict=True):
        visible = step.args[0]["visible"]
        assert len(visible) == len(fig.data)
        shown = [t for t, on in zip(fig.data, visible, strict=True) if on]
        (bound,) = [t for t in shown if t.meta == "bound"]
        assert bound.x[0] == pytest.approx(information_bytes(pairs, 130), rel=1e-4)
        assert len([t for t in shown if t.meta == "key"]) == len(ALL_MIXERS)
        assert len([t for t in shown if t.meta == "seeds"]) == len(ALL_MIXERS)
    assert [bool(v) for v in slider.steps[slider.active].args[0]["visible"]] == [
        t.visible is not False for t in fig.data
    ]


@pytest.mark.parametrize("run", [frontier_run("gru", 4)])
def test_one_run_is_enough(tmp_path, run):
    store = Store(tmp_path)
    store.write(run)
    results = loaded(store, run.spec["experiment"])
    for function in (synthetic_frontier,):
        assert function(results) is not None
