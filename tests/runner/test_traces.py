"""What a run stores beside its scores: the trace it is asked for, and what its study examines of the model."""

from dataclasses import replace

import torch
from tiny_runs import tiny

from hmlcore.results import Store
from hmlcore.runner import execute, run_grid
from hmlcore.runner.model import build_model
from hmlcore.studies import protocol
from hmlcore.studies.gradients.grid import PROTOCOLS
from hmlcore.studies.kit.comparison import task_from, task_spec


def test_the_trace_of_a_real_input_is_stored(own_folders):
    text = task_spec("bytes", corpus="stdlib", length=12)
    like = protocol("orbit").grid("smoke")[0]
    spec = tiny(experiment="orbit", steps=2, train=[text], trace=text) | {"model": like["model"]}
    spec["evaluate"] = [{**text, "split": "test", "examples": 4, "batch_size": 4}]
    store = Store(own_folders / "results")
    assert run_grid([spec], store).failed == {}
    trace = store.trace("smoke", "orbit", mixer="hml", seed=0)
    assert list(trace["t"]) == list(range(12))
    assert list(trace["byte"]) == task_from(text).batch("test", 0, 1, 0).inputs[0].tolist()
    assert (trace[["kinetic", "potential"]] >= 0).all(axis=None)
    assert trace["gamma"].between(0, 1).all() and trace["head"].nunique() == 1
    results = store.load("smoke", "orbit")
    assert set(results.metrics) == {"loss", "accuracy", "peak_memory_bytes", "bits_per_byte"}
    (row,) = results.metric("bits_per_byte").to_dict("records")
    assert (row["corpus"], row["length"], row["n"]) == ("stdlib", 12, 48)
    assert 7 < row["value"] < 9  # two steps do not teach much more than that there are 256 bytes
    assert row["data_version"] and len(row["data_sha256"]) == 64


def test_a_run_is_examined_with_the_model_as_it_began(tmp_path, monkeypatch):
    usual = protocol("synthetic_gradient")
    spec = next(s for s in usual.grid("smoke") if s["variant"] == "retnet")
    seen = {}

    def examine(trained, initial, given):
        seen.update(trained=trained, initial=initial, spec=given)
        return [{"metric": "early_late", "value": 2.0, "n": 1, "stage": "trained"}]

    monkeypatch.setitem(PROTOCOLS, "synthetic_gradient", replace(usual, examine=examine))
    execute(spec, Store(tmp_path))
    fresh = build_model(spec, task_from(spec["train"][0]))
    for a, b in zip(seen["initial"].parameters(), fresh.parameters(), strict=True):
        assert torch.equal(a, b)
    moved = zip(seen["trained"].parameters(), fresh.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in moved) and seen["spec"] == spec
    stored = Store(tmp_path).load("smoke", "synthetic_gradient").metric("early_late", split="test")
    assert set(stored["variant"]) == {"retnet"} and list(stored["value"]) == [2.0]
