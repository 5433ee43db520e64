"""One trained model of each kind, to be looked into: what its slots hold while it reads pairs and is asked.

    M Mᵀ = U diag(λ) Uᵀ,   p = λ / Σλ,   slots in use = e^{−Σ p log p}

of a state M [S, D]: S where all slots are as large and orthogonal, 1 where all hold the same, whatever their
norms (the effective rank of Roy and Vetterli, 2007, of energies).

Sizes were raised once. With half the size of a slot and half the steps the layer sent everything to one slot
and recalled next to nothing: a router that chooses one slot need not learn to choose.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from hmlcore.layers import recording
from hmlcore.models import Backbone
from hmlcore.studies.holographic import DESCRIBED, LAYER
from hmlcore.studies.holographic.capacity import stored_as
from hmlcore.studies.kit.comparison import scored, task_spec, training_spec
from hmlcore.studies.kit.ground import model_ground, norm_ground
from hmlcore.tasks import Task
from hmlcore.tasks.base import IGNORE

STORED = ("fp32", "fp16", "int8", "int4", "signs")
_SETTINGS: dict[str, dict[str, Any]] = {
    "smoke": dict(lr=1e-2, steps=3, batch_size=4, d_model=16, layers=2, slots=4, dim=16, parameters=40_000,
                  vocab=66, pairs=[2, 4], examples=4),
    "laptop": dict(lr=1e-2, steps=1600, batch_size=16, d_model=32, layers=2, slots=8, dim=128,
                   parameters=120_000, vocab=130, pairs=[4, 8], examples=128),
    "full": dict(lr=3e-3, steps=20_000, batch_size=64, d_model=512, layers=8, slots=8, dim=4096,
                 parameters=120_000_000, vocab=1026, pairs=[16, 64], examples=1024),
}  # fmt: skip


def grid(profile: str) -> list[dict]:
    """One run of the layer, and one of the system as described, with as many slots of the same size."""
    s = _SETTINGS[profile]
    size = {"dim": s["dim"], "slots": s["slots"]}
    tasks = [task_spec("mqar", length=4 * n, pairs=n, vocab=s["vocab"]) for n in s["pairs"]]
    return [
        training_spec(
            "holographic_portrait", profile, mixer, variant=variant, task="recall", seed=0, lr=s["lr"],
            steps=s["steps"], batch_size=s["batch_size"], optimizer="muon", train=tasks,
            model={"d_model": s["d_model"], "layers": s["layers"], "target_parameters": s["parameters"],
                   "mixer_args": size | own} | model_ground(),
            evaluate=scored(tasks, "validation", s["examples"]) + scored(tasks, "test", s["examples"]),
            trace=tasks[-1],
        )
        for variant, mixer, own in (
            (LAYER, LAYER, norm_ground()), (DESCRIBED, "holographic_legacy", {}),
        )
    ]  # fmt: skip


def slots_in_use(memory: Tensor) -> float:
    """Of a state [S, D]: between 1 and S, and 0 where it is empty."""
    energies = torch.linalg.svdvals(memory.double()).square()
    if not energies.sum() > 0:
        return 0.0
    p = energies / energies.sum()
    return float(torch.special.entr(p).sum().exp())


@torch.no_grad()
def trace(model: Backbone, task: Task) -> list[dict]:
    """Rows by token `t`, `block` and `slot`, of the first test sequence.

    `norm` of the slot after the token; `write`, how much of the token it took, and `keep`, how much it kept of
    itself; `in_use`, slots in use; where an answer is asked for, the probability of the right one, `right`, and
    of the likeliest wrong one, `wrong`.
    """
    batch = task.batch("test", 0, 1, seed=0)
    with recording(model) as traces:
        model(batch.inputs)
    gates = [{name: traces[f"blocks.{i}.mixer"][name][0].tolist() for name in ("write", "keep")}
             for i in range(len(model.blocks))]  # fmt: skip
    rows, state = [], model.init_state(1)
    for t, token in enumerate(batch.inputs[0]):
        logits, state = model.step(token[None], state)
        chances = _chances(logits[0], int(batch.targets[0, t]))
        for block, (own, gate) in enumerate(zip(state, gates, strict=True)):
            memory = own.memory[0]
            used = slots_in_use(memory)
            rows += [
                {"t": t, "block": block, "slot": slot, "norm": norm, "in_use": used}
                | {name: values[t][slot] for name, values in gate.items()}
                | chances
                for slot, norm in enumerate(memory.norm(dim=-1).tolist())
            ]
    return rows


def _chances(logits: Tensor, target: int) -> dict[str, float]:
    if target == IGNORE:
        return {"right": float("nan"), "wrong": float("nan")}
    p = logits.double().softmax(-1)
    others = p.clone()
    others[target] = 0
    return {"right": float(p[target]), "wrong": float(others.max())}


@torch.no_grad()
def read_as_stored(model: Backbone, task: Task, examples: int, batch: int = 32) -> Iterator[dict]:
    """Accuracy on test recall where the state was stored in fewer bits once, between the pairs and the
    questions; a row a format.

    Args: task, recall whose sequences begin with `pairs` pairs.
    """
    written = 2 * task.conditions()["pairs"]
    right, asked = dict.fromkeys(STORED, 0), 0
    for index in range(-(-examples // batch)):
        drawn = task.batch("test", index, batch, seed=0)
        _, state = model(drawn.inputs[:, :written])
        targets = drawn.targets[:, written:]
        asked += int((targets != IGNORE).sum())
        for kind in STORED:
            kept = [own._replace(memory=stored_as(own.memory, kind)) for own in state]
            logits, _ = model(drawn.inputs[:, written:], kept)
            right[kind] += int((logits.argmax(-1) == targets).sum())
    for kind in STORED:
        yield {"metric": "accuracy_stored", "stored": kind, "value": right[kind] / asked, "n": asked}
