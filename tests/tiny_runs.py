"""Specs that train in a blink, of a real experiment so that every process can run them."""

from hmlcore.results import Store
from hmlcore.studies.kit.comparison import make_spec, task_spec

TASK = task_spec("copy", payload=2, delay=1, alphabet=4)
LONGER = task_spec("copy", payload=2, delay=6, alphabet=4)
SIZE = 838  # parameters that hml, attention and gru all come close to


def tiny(mixer="hml", seed=0, steps=6, **changes):
    """A run of `copy` with one block of width 8; `changes` replace fields."""
    arguments = {} if mixer == "gru" else {"num_heads": 2}
    scored = {"examples": 8, "batch_size": 4}
    return make_spec(
        "copy", "smoke", mixer, seed=seed, lr=0.01, steps=steps, batch_size=4, warmup=2, weight_decay=0.1,
        precision="fp32",
        model={"d_model": 8, "layers": 1, "target_parameters": SIZE, "mixer_args": arguments},
        train=[TASK],
        evaluate=[{**TASK, "split": "validation", **scored}, {**LONGER, "split": "test", **scored}],
    ) | changes  # fmt: skip


def impossible(seed=0):
    """A run that cannot be built: its parameters do not fit."""
    spec = tiny(seed=seed)
    return spec | {"model": spec["model"] | {"target_parameters": 10}}


def values(store: Store):
    """What a store holds: (spec hash, metric, split, conditions) → value, learning curves too."""
    frame = store.load("smoke", "copy").frame
    frame = frame[frame["metric"] != "peak_memory_bytes"]  # differs from run to run
    keys = frame[["spec_hash", "metric", "split", "step", "payload", "delay"]].astype(str)
    found = dict(zip(map(tuple, keys.values.tolist()), frame["value"].tolist(), strict=True))
    assert len(found) == len(frame)
    return found
