"""A run that is asked for a trace stores one, token by token."""

from tiny_runs import tiny

from hmlcore.experiments import EXPERIMENTS, run_grid
from hmlcore.experiments.base import task_from, task_spec
from hmlcore.results import Store


def test_the_trace_of_a_real_input_is_stored(own_folders):
    text = task_spec("bytes", corpus="stdlib", length=12)
    like = EXPERIMENTS["bytes"].grid("smoke")[0]
    spec = tiny(experiment="bytes", steps=2, train=[text], trace=text) | {"model": like["model"]}
    spec["evaluate"] = [{**text, "split": "test", "examples": 4, "batch_size": 4}]
    store = Store(own_folders / "results")
    assert run_grid([spec], store).failed == {}
    trace = store.trace("smoke", "bytes", mixer="hml", seed=0)
    assert list(trace["t"]) == list(range(12))
    assert list(trace["byte"]) == task_from(text).batch("test", 0, 1, 0).inputs[0].tolist()
    assert (trace[["kinetic", "potential"]] >= 0).all(axis=None)
    assert trace["gamma"].between(0, 1).all() and trace["head"].nunique() == 1
    results = store.load("smoke", "bytes")
    assert set(results.metrics) == {
            "loss", "accuracy", "peak_memory_bytes", "bits_per_byte", "bits_per_byte_at",
        }  # fmt: skip
    (row,) = results.metric("bits_per_byte").to_dict("records")
    assert (row["corpus"], row["context"], row["n"]) == ("stdlib", 12, 48)
    assert 7 < row["value"] < 9  # two steps do not teach much more than that there are 256 bytes
    assert row["data_version"] and len(row["data_sha256"]) == 64
