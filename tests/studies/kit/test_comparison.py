"""What comparisons share: equal memory, seeds outermost, and a rate that tuning chose for later seeds."""

import json

import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.layers import build_mixer
from hmlcore.studies import protocol
from hmlcore.studies.kit.comparison import (
    DEFAULT,
    HEADLINE,
    PROPOSED,
    chosen_rate,
    comparison,
    is_due,
    read_rates,
    training_spec,
)
from hmlcore.studies.kit.study import ALL_MIXERS

MATRIX = ("hml", "mamba2", "retnet", "gated_deltanet", "momentum_deltanet")


@pytest.mark.parametrize("comparison", [PROPOSED, DEFAULT], ids=["proposed", "default"])
@pytest.mark.parametrize(("d_model", "heads"), [(16, 2), (32, 4), (128, 4)])
def test_matrix_memories_hold_equally_many_floats(d_model, heads, comparison):
    """2·N·d_model, without the short convolution's window."""
    for mixer in MATRIX:
        layer = build_mixer(mixer, d_model, **comparison.arguments(mixer, d_model, heads, 64))
        state = layer.init_state(1)
        held = sum(x.numel() for name, x in zip(state._fields, state, strict=True) if name != "conv")
        assert held == 2 * (d_model // heads) * d_model, mixer


@pytest.fixture
def settings():
    """Of one case that trains in no time."""
    case = protocol("synthetic_needle_text").grid("smoke")[0]
    return dict(
        train=case["train"], test=case["train"], seeds=2, headline_seeds=3, lrs=[1e-2], steps=2, batch_size=2,
        d_model=16, heads=2, layers=1, examples=2,
    )  # fmt: skip


def test_seeds_are_outermost_and_the_headline_may_have_more(settings):
    specs = comparison("synthetic_needle_text", "smoke", {"a": settings, "b": settings}, {})
    assert [s["seed"] for s in specs] == sorted(s["seed"] for s in specs)
    assert {s["mixer"] for s in specs if s["seed"] == 2} == set(HEADLINE)
    assert {(s["mixer"], s["task"]) for s in specs if s["seed"] == 1} == {
        (m, t) for m in ALL_MIXERS for t in "ab"
    }


def test_only_runs_that_may_end_early_are_known_by_it(settings):
    fields = dict(seed=0, lr=0.1, steps=20, batch_size=2)
    plain = training_spec("copy", "smoke", "gru", **fields)
    assert training_spec("copy", "smoke", "gru", **fields, solved_at=None) == plain
    assert training_spec("copy", "smoke", "gru", **fields, solved_at=0.99) == plain | {"solved_at": 0.99}
    with pytest.raises(HmlcoreError, match="solved_at must be above 0 and at most 1, got 99"):
        training_spec("copy", "smoke", "gru", **fields, solved_at=99)
    cases = {"a": settings, "b": settings | {"solved_at": 0.9}}
    specs = comparison("synthetic_needle_text", "smoke", cases, {})
    assert {(s["task"], s.get("solved_at", "absent")) for s in specs} == {("a", "absent"), ("b", 0.9)}


def test_later_seeds_run_at_the_rate_that_tuning_chose(settings):
    """The largest before it has; and only at `laptop`: elsewhere all seeds run at all rates."""
    lrs, rates = [1e-3, 1e-2], {"laptop": {"synthetic_needle_text": {"a": {"gru": 1e-3}}}}
    for profile in ("laptop", "full"):
        specs = comparison("synthetic_needle_text", profile, {"a": settings | {"lrs": lrs}}, rates)
        for mixer in ALL_MIXERS:
            tried = {
                seed: [s["lr"] for s in specs if (s["mixer"], s["seed"]) == (mixer, seed)] for seed in (0, 1)
            }
            later = lrs if profile == "full" else [1e-3 if mixer == "gru" else 1e-2]
            assert tried == {0: lrs, 1: later}, (profile, mixer)


def test_rates_are_looked_up_by_profile_experiment_case_and_mixer(tmp_path):
    assert read_rates(tmp_path) == {}
    rates = {"laptop": {"e": {"a, b": {"hml": 0.5}}}}
    (tmp_path / "rates.json").write_text(json.dumps(rates))
    assert read_rates(tmp_path) == rates
    place = ("laptop", "e", "a, b", "hml")
    assert chosen_rate(rates, *place, [0.1, 0.5, 1.0]) == 0.5
    for i in range(4):
        other = tuple("other" if j == i else x for j, x in enumerate(place))
        assert chosen_rate(rates, *other, [0.1, 0.5, 1.0]) == 1.0
    due = [(seed, lr) for seed in (0, 1) for lr in (0.1, 0.5) if is_due(rates, *place, [0.1, 0.5], seed, lr)]
    assert due == [(0, 0.1), (0, 0.5), (1, 0.5)]
