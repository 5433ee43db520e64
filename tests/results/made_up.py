"""Small made-up runs: the store is tested on their shape, never on what they say."""

from hmlcore.results import Provenance, Run


def provenance(**changes) -> Provenance:
    values = {
        "device": "cpu", "steps": 1500, "parameters": 101_000, "state_floats": 4096, "state_bytes": 16_384,
        "flops_per_token": 2.1e5, "wall_s": 31.0, "tokens_per_s": 5.2e4, "torch": "2.13.0", "python": "3.11.0",
        "commit": "a" * 40, "dirty": False, "started_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Provenance(**values | changes)


def spec(seed=0, mixer="hml", lr=0.003, experiment="copy", profile="smoke", d_model=64, **more) -> dict:
    names = {"schema": 1, "experiment": experiment, "profile": profile, "mixer": mixer}
    return {**names, "seed": seed, "lr": lr, "model": {"d_model": d_model, "layers": 2}, **more}


def run(rows=None, trace=None, made=None, **changes) -> Run:
    rows = rows or [{"metric": "exact", "value": 0.5, "n": 512, "payload": 8, "delay": 32}]
    return Run(spec(**changes), made or provenance(), rows, trace)


def long_run(**changes) -> Run:
    """About the size of a real run: a learning curve and a grid of conditions, 100 rows."""
    seed = changes.get("seed", 0)
    loss = [{"metric": "loss", "value": 3 / (s + 1.7 + seed), "step": s, "split": "train"} for s in range(64)]
    grid = [(payload, delay) for payload in (2, 4, 8, 16, 32, 64) for delay in (8, 16, 32, 64, 128, 256)]
    exact = [{"metric": "exact", "value": 1 / (1 + p + d), "n": 512, "payload": p, "delay": d} for p, d in grid]
    train = [{"task": "copy", "payload": p, "delay": d} for p, d in grid]
    return run([*loss, *exact], train=train, **changes)
