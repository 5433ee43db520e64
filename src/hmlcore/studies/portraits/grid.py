"""The grids of the portraits: one run each, on the common ground, which leaves a trace of what it holds."""

from typing import Any

import torch

from hmlcore.evaluation.metrics import Scores
from hmlcore.evaluation.physics import phase_portrait
from hmlcore.evaluation.states import state_rows
from hmlcore.models import Backbone
from hmlcore.studies.kit.comparison import TODAY, case_spec, task_spec
from hmlcore.studies.kit.families import cases, measure
from hmlcore.studies.kit.ground import model_ground, norm_ground
from hmlcore.studies.kit.study import ALL_MIXERS, Protocol, Rows
from hmlcore.tasks import LabelledTask, Task
from hmlcore.tasks.listops_trees import NAMES

LR = 1e-2
MOST = 64
"""Tokens of an expression that are drawn."""
AMONG = 8
"""Test expressions, the longest of which is drawn."""
_READ: dict[str, dict[str, Any]] = {
    "smoke": dict(steps=3, batch_size=4, d_model=32, heads=2, layers=2, length=32, traced=64, examples=4),
    "laptop": dict(
        steps=600, batch_size=16, d_model=64, heads=4, layers=2, length=128, traced=256, examples=64
    ),
    "full": dict(
        steps=20_000, batch_size=64, d_model=256, heads=4, layers=6, length=1024, traced=512, examples=256
    ),
}  # fmt: skip
_STEPS = {"laptop": 800}
"""Fewer than the comparison's: what is shown has learned cues, and not yet the nesting."""


def states_grid(profile: str) -> list[dict]:
    """One run of every mixer, on the comparison's expressions."""
    s: dict[str, Any] = cases(profile)["expressions"]
    s = s | {"steps": _STEPS.get(profile, s["steps"])}
    return [
        _spec(
            "portraits", profile, "expressions", s, mixer,
            TODAY.arguments(mixer, s["d_model"], s["heads"], s["train"][0]["max_length"]),
        )
        for mixer in ALL_MIXERS
    ]  # fmt: skip


def orbit_grid(profile: str) -> list[dict]:
    """The one run whose head is followed."""
    s = dict(_READ[profile])
    traced = task_spec("bytes", corpus="stdlib", length=s.pop("traced"))
    read = task_spec("bytes", corpus="stdlib", length=s.pop("length"))
    given = {"num_heads": s["heads"], "dynamics": "leapfrog"} | norm_ground()
    s |= {"train": [read], "test": [read]}
    return [_spec("orbit", profile, "text", s, "hml", given) | {"trace": traced}]


def _spec(experiment: str, profile: str, case: str, s: dict, mixer: str, given: dict) -> dict:
    spec = case_spec(
        experiment, profile, case, s, mixer, seed=0, lr=LR, mixer_args=given, optimizer="muon",
        trace=s["train"][0],
    )  # fmt: skip
    spec["model"] |= model_ground()
    return spec


def orbit_measure(_task: Task, scores: Scores) -> Rows:
    """Bits per byte."""
    return [{"metric": "bits_per_byte", "value": scores.bits_per_token, "n": scores.tokens}]


def states_trace(model: Backbone, task: Task) -> list[dict]:
    """The last block's state while it reads the longest of the first test expressions, at most 64 tokens."""
    assert isinstance(task, LabelledTask)
    inputs, lengths, _ = task.batch("test", 0, AMONG, seed=0)
    lengths = lengths.clamp(max=MOST)
    row = int(lengths.argmax())
    tokens = inputs[row, : lengths[row]]
    return state_rows(model, tokens, [NAMES[token] for token in tokens.tolist()])


def orbit_trace(model: Backbone, task: Task) -> list[dict]:
    """One head of the last layer on the first test window."""
    inputs: torch.Tensor = task.batch("test", 0, 1, seed=0).inputs
    return phase_portrait(model, inputs[0])


PROTOCOLS = {
    "portraits": Protocol(states_grid, measure, states_trace),
    "orbit": Protocol(orbit_grid, orbit_measure, orbit_trace),
}
