"""Results made up for rules, and rules applied to them as claims apply them."""

import pandas as pd
from made_up_results import loaded, provenance

from hmlcore.results import ResultSet, Run, Store, canonical
from hmlcore.results.tuning import tuned
from hmlcore.studies.export import claims


def decided(rule, results: ResultSet) -> tuple[str, str]:
    """What `rule` says of the results that its claim lets it see: (verdict, evidence)."""
    (claim,) = [c for c in claims() if c.rule is rule and c.experiment == results.experiment]
    seen = tuned(results)
    return claim.rule(seen.where(**claim.where) if claim.where else seen)


def made_up(folder, experiment: str, runs: list[tuple[str, dict, list[dict]]], seeds: int = 3) -> ResultSet:
    """runs: (mixer, fields of the spec and its rows, rows), each for `seeds` seeds, at one rate."""
    store = Store(folder)
    for mixer, fields, rows in runs:
        for seed in range(seeds):
            made = provenance(state_bytes=fields.get("bytes", 32))
            own = {k: v for k, v in fields.items() if k in ("variant", "task")}
            spec = {
                "schema": 1, "experiment": experiment, "profile": "laptop", "mixer": mixer, "seed": seed,
                "lr": 0.01, "model": {"d_model": fields.get("d_model", 32)}, "train": fields.get("train", []),
                **own,
            }  # fmt: skip
            store.write(Run(spec, made, [{"n": 10, "metric": "accuracy", **own, **row} for row in rows]))
    return loaded(store, experiment)


def one_run_a_mixer(experiment: str, train: list[dict], rows: list[dict]) -> ResultSet:
    """A ResultSet of one run a mixer, at one learning rate, with these test rows."""
    frame = pd.DataFrame(rows)
    spec = canonical({"experiment": experiment, "train": train})
    return ResultSet(
        frame.assign(
            n=1, split="test", spec_hash=frame["mixer"], schema=1, experiment=experiment, profile="laptop",
            seed=0, lr=0.001, spec=spec, device="cpu", dirty=False, d_model=64,
        )
    )  # fmt: skip
