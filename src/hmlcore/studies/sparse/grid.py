"""The grids of recall: models learn to read, and are asked with every gate, density and distance."""

from collections.abc import Iterator

import torch

from hmlcore.evaluation.planted_recall import controls, recall
from hmlcore.models import Backbone, Sparse
from hmlcore.studies.kit.comparison import (
    DEFAULT,
    measure,
    parameters_of,
    scored,
    task_spec,
    training_spec,
)
from hmlcore.studies.kit.ground import ROTORS, model_ground, norm_ground
from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.sparse import laws, speed, stream
from hmlcore.studies.sparse.claims import CENTROIDS, EVERYTHING, LEARNED, RIVALS, WINDOW
from hmlcore.studies.sparse.rungs import RUNGS
from hmlcore.tasks import build_task
from hmlcore.tasks.planted import Planted

UNLEARNED = (
    "random", "rare", "surprisal", "stratified", "redundancy", "after_read", "frequency", "compression",
)  # fmt: skip
AT_LENGTH = ("random", "rare", "surprisal", "redundancy")
"""Gates that are asked at the longer distances, and of centroids at every one."""
FAR = ("random", "rare", "surprisal", "redundancy", "frequency")
"""Gates of the frontier over the longest distance: those, and the one that was found to help nearer by."""
_MEMORY = {
    WINDOW: None,
    EVERYTHING: {"gate": "every"},
    CENTROIDS: {"gate": "every", "address": "centroids", "contrast": 0.1},
    LEARNED: {"gate": "salience", "density": 0.12},
}
_LARGE = {"buckets": 512, "ways": 32}
"""The source's slots: what by hash is asked with at the headline's distance, where a small memory is full."""
# `cases`: distance, facts of each kind and rows; densities; chunk, when asked, and what else of the memory;
# apart: every seed is asked rows of its own.
# `far`: the densities of the frontier over the longest of these distances, and its seeds.
_SETTINGS = {
    "smoke": dict(
        d_model=16, layers=1, heads=2, window=32, chunk=32, buckets=8, ways=4, top=4, vocab=64, seeds=[0, 1],
        lr=1e-2, steps=3, batch_size=4, examples=4, train=[56], gates=["random", "surprisal"],
        rivals=dict(head_dim=16, capacity=16, memory_tokens=2),
        cases=[dict(distance=216, facts=1, rows=2, densities=[0.12], chunk=32)],
        far=([0.12, 0.48], [0, 1]),
    ),
    "laptop": dict(
        d_model=64, layers=2, heads=4, window=64, chunk=64, buckets=64, ways=12, top=8, vocab=512,
        seeds=[0, 1, 2, 3, 4], lr=1e-2, steps=250, batch_size=16, examples=64, train=[112, 240],
        gates=list(UNLEARNED), rivals=dict(head_dim=180, capacity=400, memory_tokens=16),
        cases=[
            dict(distance=1024, facts=10, rows=20, densities=[0.12], chunk=256),
            dict(distance=10_240, facts=100, rows=2, densities=[0.03, 0.12, 0.48], chunk=256),
            dict(distance=10_240, facts=10, rows=6, densities=[0.12], chunk=256, gates=list(AT_LENGTH)),
            dict(distance=102_400, facts=200, rows=1, densities=[0.12], chunk=512, gates=list(AT_LENGTH)),
            dict(distance=524_288, facts=200, rows=1, densities=[0.12], chunk=512, gates=list(AT_LENGTH),
                 large=_LARGE),
        ],
        far=([0.03, 0.12, 0.48], [5, 6, 7, 8, 9]),
    ),
    "full": dict(
        d_model=512, layers=8, heads=8, window=1024, chunk=1024, buckets=512, ways=32, top=32, vocab=16_384,
        seeds=[0, 1, 2, 3, 4], lr=3e-3, steps=10_000, batch_size=32, examples=256, train=[2048, 6144],
        gates=list(UNLEARNED), rivals=dict(head_dim=512, capacity=16_384, memory_tokens=16),
        cases=[
            dict(distance=10_240, facts=100, rows=10, densities=[0.03, 0.06, 0.12, 0.24, 0.48], chunk=1024),
            dict(distance=102_400, facts=1000, rows=1, densities=[0.12], chunk=1024),
            dict(distance=524_288, facts=1000, rows=1, densities=[0.12], chunk=1024),
        ],
        far=([0.03, 0.06, 0.12, 0.24, 0.48], [5, 6, 7, 8, 9]),
    ),
}  # fmt: skip


def recall_grid(profile: str) -> list[dict]:
    """Models that learn to read, seeds outermost; of every seed the rivals come last."""
    s = _SETTINGS[profile]
    own = [_spec("sparse_recall", profile, s, v, m, seed) for seed in s["seeds"] for v, m in _MEMORY.items()]
    rivals = [_spec("sparse_recall", profile, s, v, None, seed) for seed in s["seeds"] for v in RIVALS]
    return sorted(own + rivals, key=lambda spec: spec["seed"])


def ladder_grid(profile: str) -> list[dict]:
    """A model each version, three seeds, asked by its own gate at the distance of the frontier."""
    s = dict(_SETTINGS[profile])
    s |= {
        "gates": [],
        "cases": [case | {"densities": [0.12]} for case in s["cases"] if case["distance"] < 20_000],
    }
    s["cases"] = s["cases"][1:2] or s["cases"]
    seeds = s["seeds"][:3]
    return [
        _spec("sparse_ladder", profile, s, rung.name, rung.memory, seed) for seed in seeds for rung in RUNGS
    ]


def far_grid(profile: str) -> list[dict]:
    """The frontier over the longest distance: models of fresh seeds, each asked for facts of its own."""
    s = _SETTINGS[profile]
    densities, seeds = s["far"]
    gates = list(UNLEARNED if profile == "full" else FAR if profile == "laptop" else s["gates"])
    own = s | {"cases": [s["cases"][-1] | {"densities": densities, "gates": gates, "apart": True}]}
    return [_spec("sparse_far", profile, own, EVERYTHING, _MEMORY[EVERYTHING], seed) for seed in seeds]


def _planted(s: dict, distance: int, facts: int = 2, **more) -> dict:
    return task_spec("planted", distance=distance, facts=facts, vocab=s["vocab"], **more)


def _spec(experiment: str, profile: str, s: dict, variant: str, memory: dict | None, seed: int) -> dict:
    facts = max(1, s["train"][0] // 56)
    tasks = [_planted(s, distance, facts, filler_scored=True) for distance in s["train"]]
    window = {"window": s["window"], "num_heads": s["heads"]}
    target = parameters_of(s["vocab"], "window_attention", s["d_model"], s["layers"], 4 * s["d_model"], window)
    mixer, given, beside = _rival(s, variant, window)
    model = {
        "d_model": s["d_model"], "layers": s["layers"], "mixer_args": given, "target_parameters": target,
    } | beside  # fmt: skip
    if memory is not None:
        size = {"slot_dim": s["d_model"], **{name: s[name] for name in ("chunk", "buckets", "ways", "top")}}
        model["memory"] = {**size, "slot_dtype": "bf16", "evict": "oldest", "density": None, **memory}
    beyond = _planted(s, 4 * s["train"][-1], facts)
    return training_spec(
        experiment, profile, mixer, variant=variant, seed=seed, lr=s["lr"], steps=s["steps"],
        batch_size=s["batch_size"], optimizer="muon", model=model | model_ground(), train=tasks,
        evaluate=scored(tasks, "validation", s["examples"]) + scored([beyond], "test", s["examples"]),
        ask={"cases": s["cases"], "gates": s["gates"], "vocab": s["vocab"]},
    )  # fmt: skip


def _rival(s: dict, variant: str, window: dict) -> tuple[str, dict, dict]:
    """Its mixer, what that is given, and further fields of the model: equal bytes of state, where parameters
    and time allow. What is no rival has the window."""
    size = s["rivals"]
    matrix = {"num_heads": 1, "head_dim": size["head_dim"]} | norm_ground()
    far = {"chunk": s["chunk"], "capacity": size["capacity"], "top": min(s["top"], size["capacity"])}
    segments = {"chunk": s["chunk"], "memory_tokens": size["memory_tokens"]}
    own = {
        "HML": ("hml", matrix | dict(DEFAULT.hml) | ROTORS, {}),
        "gated DeltaNet": ("gated_deltanet", matrix | {"expand_v": 1, "gate_init": "slow"}, {}),
        "Memorizing Transformer": ("window_attention", window, {"neighbours": far}),
        "RMT": ("attention", {"num_heads": s["heads"]}, {"segments": segments}),
    }
    return own.get(variant, ("window_attention", window, {}))


def examine(model: Backbone, _untrained, spec: dict) -> list[dict]:
    """Recall, densities and the source's metric, by gate, density, kind, distance and facts; controls."""
    rows: list[dict] = []
    for case in spec["ask"]["cases"]:
        facts = {"facts": case["facts"], "distance": case["distance"], "vocab": spec["ask"]["vocab"]}
        task = build_task("planted", **facts)
        assert isinstance(task, Planted)
        at, first = task.conditions(), spec["seed"] * case["rows"] if case.get("apart") else 0
        for gate, density, asked in _asked(model, case, spec["ask"]["gates"]):
            found = recall(asked, task, "test", case["rows"], 16 * case["chunk"], first)
            here = at | {"gate": gate, "density": density}
            for kind, hits in found.hits.items():
                rows.append(
                    here | {"metric": "recall", "kind": kind, "value": float(hits.mean()), "n": len(hits)}
                )
                said = found.legacy[kind]
                rows.append(
                    here | {"metric": "legacy", "kind": kind, "value": float(said.mean()), "n": len(said)}
                )
            tokens = case["rows"] * task.length
            rows.append(here | {"metric": "gated", "kind": "all", "value": found.gated, "n": tokens})
            rows.append(here | {"metric": "written", "kind": "all", "value": found.written, "n": tokens})
        for name, by in controls(task, "test", case["rows"], first).items():
            n = case["rows"] * case["facts"]
            rows += [
                at | {"gate": name, "density": 0.0, "metric": "control", "kind": kind, "value": value, "n": n}
                for kind, value in by.items()
            ]
    return rows


def _asked(model: Backbone, case: dict, gates: list[str]) -> Iterator[tuple[str, float, Backbone]]:
    """(gate, density, model that writes so); density 0: nothing is written or nothing read, 1: everything."""
    if not isinstance(model, Sparse):
        yield "none", 0.0, model
        return
    chunk, own = {"chunk": case["chunk"]}, model.config.gate
    if model.config.address == "hash":  # centroids are as many as were learned
        chunk |= case.get("large", {})
    asked = case.get("gates", gates) if model.config.address == "hash" else AT_LENGTH
    if own == "every":
        masked = model.with_memory(**chunk)
        torch.nn.init.zeros_(masked.memory.out_proj.weight)
        yield "masked", 0.0, masked
        yield "every", 1.0, model.with_memory(**chunk)
        for density in case["densities"] if gates else ():
            for gate in asked:
                yield gate, density, model.with_memory(**chunk, gate=gate, density=density, evict="value")
        return
    for density in case["densities"]:
        yield own, density, model.with_memory(**chunk, density=density)


PROTOCOLS = {
    "sparse_laws": Protocol(laws.grid, side_by_side=laws.side_by_side),
    "sparse_speed": Protocol(speed.grid, side_by_side=speed.side_by_side, report=speed.report),
    "sparse_stream": Protocol(stream.grid, side_by_side=stream.side_by_side),
    "sparse_recall": Protocol(recall_grid, measure, examine=examine),
    "sparse_far": Protocol(far_grid, measure, examine=examine),
    "sparse_ladder": Protocol(ladder_grid, measure, examine=examine),
}
