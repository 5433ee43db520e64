"""What the controlled tasks share: equal memory, rates from validation alone, models examined as they began."""

from dataclasses import replace

import pytest
import torch

from hmlcore import paths
from hmlcore.experiments import EXPERIMENTS, get_experiment
from hmlcore.experiments.base import ALL_MIXERS, build_model, task_from
from hmlcore.experiments.run import execute
from hmlcore.experiments.synthetic import HEADLINE, arguments, chosen_rate, comparison
from hmlcore.layers import build_mixer
from hmlcore.results import Store

MATRIX = ("hml", "mamba2", "retnet", "gated_deltanet", "momentum_deltanet")
COMMITTED = Store(paths.root() / "results")
TUNED = ("synthetic_needle", "synthetic_needle_text", "synthetic_tasks", "synthetic_recall")


@pytest.mark.parametrize(("d_model", "heads"), [(16, 2), (32, 4), (128, 4)])
def test_matrix_memories_hold_equally_many_floats(d_model, heads):
    """2·N·d_model, without the short convolution's window."""
    for mixer in MATRIX:
        layer = build_mixer(mixer, d_model, **arguments(mixer, d_model, heads, 64))
        state = layer.init_state(1)
        held = sum(x.numel() for name, x in zip(state._fields, state, strict=True) if name != "conv")
        assert held == 2 * (d_model // heads) * d_model, mixer


def test_seeds_are_outermost_and_the_headline_may_have_more():
    case = get_experiment("synthetic_tasks").grid("smoke")[0]
    settings = dict(
        train=case["train"], test=case["train"], seeds=2, headline_seeds=3, lrs=[1e-2], steps=2, batch_size=2,
        d_model=16, heads=2, layers=1, examples=2,
    )  # fmt: skip
    specs = comparison("synthetic_tasks", "smoke", {"a": settings, "b": settings})
    assert [s["seed"] for s in specs] == sorted(s["seed"] for s in specs)
    assert {s["mixer"] for s in specs if s["seed"] == 2} == set(HEADLINE)
    assert {(s["mixer"], s["task"]) for s in specs if s["seed"] == 1} == {
        (m, t) for m in ALL_MIXERS for t in "ab"
    }


@pytest.mark.parametrize("name", [n for n in TUNED if COMMITTED.has_any("laptop", n)])
def test_rates_are_those_that_validation_chose_with_the_first_seed(name):
    rows = COMMITTED.load("laptop", name).frame
    rows = rows[(rows["metric"] == "bits_per_token") & (rows["split"] == "validation") & (rows["seed"] == 0)]
    case = "task" if "task" in rows else "d_model"
    means = rows.groupby([case, "mixer", "lr"])["value"].mean().unstack("lr").fillna(float("inf"))
    assert len(means.columns) == 2 and len(means) >= len(ALL_MIXERS)
    for (part, mixer), row in means.iterrows():
        label = part if case == "task" else f"width {part}"
        assert chosen_rate(name, label, mixer, list(means.columns)) == row.idxmin(), (part, mixer)


def test_a_run_is_examined_with_the_model_as_it_began(tmp_path, monkeypatch):
    experiment = get_experiment("synthetic_gradient")
    spec = next(s for s in experiment.grid("smoke") if s["variant"] == "retnet")
    seen = {}

    def examine(trained, initial, given):
        seen.update(trained=trained, initial=initial, spec=given)
        return [{"metric": "early_late", "value": 2.0, "n": 1, "stage": "trained"}]

    monkeypatch.setitem(EXPERIMENTS, experiment.name, replace(experiment, examine=examine))
    execute(spec, Store(tmp_path))
    fresh = build_model(spec, task_from(spec["train"][0]))
    for a, b in zip(seen["initial"].parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b)
    moved = zip(seen["trained"].parameters(), fresh.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in moved) and seen["spec"] == spec
    stored = Store(tmp_path).load("smoke", "synthetic_gradient").metric("early_late", split="test")
    assert set(stored["variant"]) == {"retnet"} and list(stored["value"]) == [2.0]
