"""What the runs of a grid ask of a machine, out of their specs alone: tokens, operations, bytes.

No model is trained, and none is built but single layers without storage, whose operations and parameters are
counted. That takes seconds, so it is kept in the cache beside the catalogue. Of the laptop's models, operations
come within 1.5 % of what a built one counts, and bytes within a factor of 2.5 of what a training step was seen
to hold.
"""

import json
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from hmlcore import studies
from hmlcore.results import canonical
from hmlcore.runner.catalogue import kept

PASSES = 3
"""A training step against a forward pass in operations: forward, and twice that backward."""
STATE_BYTES = 16
"""Of a trained parameter: itself, its gradient and the optimiser's two moments, in fp32."""
FLOAT = 4


class Demand(NamedTuple):
    """Runs of one mixer that ask the same.

    Attributes:
        mixer, runs: which, and how many.
        tokens: a run trains on.
        flops: of one run, training and evaluation.
        fixed_bytes: what one run holds whatever its mixer keeps for the backward pass: parameters and their
            optimiser, and of a batch the MLPs' activations and the logits.
        channels: tokens of a batch × width × layers, of each of which the mixer keeps some bytes.
    """

    mixer: str
    runs: int
    tokens: int
    flops: float
    fixed_bytes: float
    channels: int


def demands(profile: str) -> dict[str, list[Demand]]:
    """Experiment → what its grid asks for at `profile`; of those that are measured in other ways, nothing."""
    found = kept(f"demand-{profile}", lambda _sources: _made(profile))
    return {name: [Demand(*entry) for entry in entries] for name, entries in found.items()}


def _made(profile: str) -> dict[str, list[Demand]]:
    return {
        name: grouped([demand(spec) for spec in studies.protocol(name).grid(profile)])
        for name, experiment in studies.experiments().items()
        if experiment.trained
    }


def grouped(single: list[Demand]) -> list[Demand]:
    """Equal ones counted together."""
    alike = groupby(sorted(single, key=_asks), key=_asks)
    return [Demand(mixer, sum(d.runs for d in same), *asks) for (mixer, *asks), same in alike]


def _asks(demand: Demand) -> tuple:
    return demand[:1] + demand[2:]


def demand(spec: dict) -> Demand:
    """Of one trained run. Training that may end early is counted whole; what is examined beside the evaluation
    is left out. The MLP is given what the mixer leaves of the parameters, as the model is."""
    model, width, layers = spec["model"], spec["model"]["d_model"], spec["model"]["layers"]
    flops, own = _layer(spec["mixer"], width, canonical(model["mixer_args"]))
    tasks = [_task(canonical(task)) for task in spec["train"]]
    vocabulary = tasks[0][1]
    mlp = max(0, model["target_parameters"] - vocabulary * width - layers * own)
    batch = spec["batch_size"] * max(length for length, _ in tasks)

    def forward(length: int) -> float:
        return layers * flops(length) + 2 * (mlp + vocabulary * width)

    # Tasks take turns, a batch each.
    tokens = spec["steps"] * spec["batch_size"] * sum(length for length, _ in tasks) // len(tasks)
    training = sum(
        PASSES * forward(length) * spec["steps"] * spec["batch_size"] * length / len(tasks)
        for length, _ in tasks
    )
    tested = 0.0
    for entry in spec["evaluate"]:
        length, _ = _task(canonical({k: v for k, v in entry.items() if k not in _EVALUATION}))
        tested += forward(length) * length * entry["examples"]
    # A SwiGLU of width h is 3·d·h parameters; it keeps its input, both halves of `up`, SiLU and the product.
    hidden = mlp / (3 * width * layers)
    kept_bytes = FLOAT * batch * (layers * (2 * width + 4 * hidden) + 3 * vocabulary)
    fixed = STATE_BYTES * model["target_parameters"] + kept_bytes
    return Demand(spec["mixer"], 1, tokens, training + tested, fixed, batch * width * layers)


_EVALUATION = ("split", "examples", "batch_size")


@lru_cache(maxsize=4096)
def _task(entry: str) -> tuple[int, int]:
    """Length and vocabulary of a task; its knobs as canonical JSON."""
    from hmlcore.studies.kit.comparison import task_from

    task = task_from(json.loads(entry))
    return task.length, task.vocab_size


@lru_cache(maxsize=1024)
def _layer(mixer: str, width: int, arguments: str) -> tuple:
    """(length → operations a token, parameters) of a mixer whose arguments are canonical JSON."""
    import torch

    from hmlcore.layers import build_mixer

    with torch.device("meta"):
        layer = build_mixer(mixer, width, **json.loads(arguments))
    # Runs that differ in seed and rate ask for the same lengths.
    return lru_cache(maxsize=None)(layer.flops_per_token), sum(p.numel() for p in layer.parameters())
