"""Made-up results of every experiment, shaped like the real ones; they exist inside tests only."""

import math
import random

from hmlcore.results import Provenance, Run, Store

MIXERS = ("hml", "attention", "gru")
PAYLOADS, DELAYS = (2, 4, 8, 16), (8, 16, 32, 64, 128, 256)
PAIRS = (4, 8, 16, 32, 64)
SENTENCE = (
    b"def leapfrog(q, p, h):\n    # drift, kick & drift: <symplectic>\n    return q + h * p, p \xc3\xa9\n"
)
_SKILL = {"hml": 1.0, "attention": 0.7, "gru": 0.35}


def provenance(**changes) -> Provenance:
    values = {
        "device": "cpu",
        "steps": 1500,
        "parameters": 101_000,
        "state_floats": 4096,
        "state_bytes": 16_384,
        "flops_per_token": 2.1e5,
        "wall_s": 31.0,
        "tokens_per_s": 5.2e4,
        "torch": "2.13.0",
        "python": "3.11.0",
        "commit": "a" * 40,
        "dirty": False,
        "started_at": "2026-01-01T00:00:00+00:00",
    }
    return Provenance(**{**values, **changes})


def spec(experiment, mixer, seed, profile="laptop", lr=0.003, d_model=64, **more) -> dict:
    names = {"schema": 1, "experiment": experiment, "profile": profile, "mixer": mixer, "seed": seed}
    return {**names, "lr": lr, "steps": 1500, "model": {"d_model": d_model, "layers": 2}, **more}


def _rng(*key) -> random.Random:
    return random.Random(repr(key))


def _loss(rng, start, end):
    return [
        {
            "metric": "loss",
            "split": "train",
            "step": s,
            "value": end + (start - end) * math.exp(-s / 300) + 0.03 * rng.random(),
        }
        for s in range(25, 1525, 25)
    ]


def copy_run(mixer, seed, lr=0.003, **changes) -> Run:
    rng = _rng("copy", mixer, seed, lr)
    rows = _loss(rng, 2.3, 0.8 - 0.7 * _SKILL[mixer])
    for payload in PAYLOADS:
        for delay in DELAYS:
            reach = 90 * _SKILL[mixer] * (8 / payload) ** 0.5 * (0.7 + 0.6 * rng.random())
            hit = 1 / (1 + (delay / reach) ** 3)
            at = {"payload": payload, "delay": delay, "n": 512}
            rows.append({"metric": "exact", "value": round(hit**2 * 512) / 512, **at})
            rows.append({"metric": "accuracy", "value": hit, **at, "n": 512 * payload})
    rows.append({"metric": "exact", "split": "validation", "value": rng.random(), "payload": 8, "delay": 32})
    train = [{"task": "copy", "payload": p, "delay": d} for p in PAYLOADS[:3] for d in DELAYS[:3]]
    return Run(spec("copy", mixer, seed, lr=lr, train=train, **changes), provenance(), rows)


def recall_run(mixer, seed, d_model=64, lr=0.003, **changes) -> Run:
    rng = _rng("recall", mixer, seed, d_model, lr)
    state = {"hml": 8 * d_model**2 // 2, "attention": 2048 * d_model, "gru": 8 * d_model}[mixer]
    rows = _loss(rng, 8.0, 1.0)
    for pairs in PAIRS:
        hit = 1 / (1 + math.exp(-(math.log2(state / 64) - math.log2(pairs) - 3 + rng.gauss(0, 0.4))))
        hit *= 1 - abs(math.log10(lr / 0.003))  # another rate is worse
        rows.append({"metric": "accuracy", "value": hit, "n": 512 * pairs, "pairs": pairs, "length": 256})
    rows.append(
        {"metric": "accuracy", "split": "validation", "value": hit, "n": 4096, "pairs": 64, "length": 256}
    )
    train = [{"task": "mqar", "pairs": pairs, "length": 256} for pairs in PAIRS[:4]]
    made = provenance(state_floats=state // 4, state_bytes=state)
    return Run(spec("recall", mixer, seed, lr=lr, d_model=d_model, train=train, **changes), made, rows)


def bytes_run(mixer, seed, lr=0.003, **changes) -> Run:
    rng = _rng("bytes", mixer, seed, lr)
    rows = _loss(rng, 5.5, 1.4)
    base = {"hml": 2.1, "attention": 2.2, "gru": 2.5}[mixer] + rng.gauss(0, 0.02)
    for context in (256, 512, 1024, 2048):
        extra = 0.2 * math.log2(context / 256) if mixer == "attention" else -0.03 * math.log2(context / 256)
        at = {"corpus": "stdlib", "context": context}
        for split in ("validation", "test"):
            rows.append({"metric": "bits_per_byte", "split": split, "value": base + extra, "n": 65536, **at})
    for position in range(0, 2048, 128):
        late = 0.5 if mixer == "attention" and position >= 512 else 0.0
        value = base + late + 1.2 / (1 + position / 60) + rng.gauss(0, 0.01)
        at = {"corpus": "stdlib", "context": 2048, "position": position}
        rows.append({"metric": "bits_per_byte_at", "value": value, "n": 4096, **at})
    train = [{"task": "bytes", "corpus": "stdlib", "length": 256}]
    trace = portrait_rows(seed) if mixer == "hml" else None
    made = provenance(data_version="3.11.0")
    return Run(spec("bytes", mixer, seed, lr=lr, train=train, **changes), made, rows, trace)


def portrait_rows(seed, tokens=256) -> list[dict]:
    rng, rows = _rng("trace", seed), []
    q, p = 1.0, 0.0
    for t in range(tokens):
        beta = 0.1 + 0.5 * rng.random()
        q, p = q + 0.15 * p, 0.97 * p - 0.15 * beta * (q - math.sin(t / 25))
        rows.append({
            "t": t, "byte": SENTENCE[t % len(SENTENCE)], "q": q, "p": p, "head": 3,
            "kinetic": p * p / 2, "potential": beta * (q - math.sin(t / 25)) ** 2 / 2,
            "alpha": 0.999, "beta": beta, "gamma": 0.9 + 0.09 * rng.random(),
        })  # fmt: skip
    return rows


def fill(store: Store, seeds=3, profile="laptop") -> Store:
    """`seeds` runs of every mixer and experiment; recall at three widths, and two learning rates at each."""
    for mixer in MIXERS:
        for seed in range(seeds):
            store.write(copy_run(mixer, seed, profile=profile))
            store.write(bytes_run(mixer, seed, profile=profile))
            for d_model in (16, 32, 64):
                for lr in (0.003, 0.01):
                    store.write(recall_run(mixer, seed, d_model, lr, profile=profile))
    return store
