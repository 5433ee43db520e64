"""Made-up timings of all mixers, shaped like those of `hml bench`; they exist inside tests only."""

from made_up_results import ALL_MIXERS, provenance, spec, state_floats

from hmlcore.results import Run

LENGTHS = [2**n for n in range(9, 16)]
MEMORY = "hamiltonian:chunk short_conv:conv1d"
# Microseconds a token: what a constant costs, and what grows with the length.
TRAIN = {
    "hml": (17, 0), "attention": (5, 2.6e-3), "gru": (3, 3.7e-3), "lstm": (3.5, 1.5e-4), "mamba": (23, 3e-4),
    "mamba2": (7.5, 1e-4), "hyena": (5, 1.5e-4), "retnet": (8, 5e-5), "gated_deltanet": (14, 4e-4),
    "momentum_deltanet": (14.5, 3.6e-4), "linoss": (11, 1e-4),
}  # fmt: skip


def timed_run(mixer, lengths=LENGTHS, started_at="2026-01-01T00:00:00+00:00", **changes) -> Run:
    constant, growing = TRAIN[mixer]
    rows = []
    for length in lengths:
        floats = state_floats(mixer, length)
        here = {
            "length": length, "state_floats": floats, "state_bytes": 4 * floats, "flops_per_token": 1e5,
            "threads": 2,
        }  # fmt: skip
        batch = 32768 // length
        train = {"batch": batch, "passes": "train", "path": MEMORY} | here
        seconds = 1e-6 * (constant + growing * length) * batch * length
        rows.append({"metric": "seconds_train", "value": seconds, "n": 5, "spread": 0.04, **train})
        memory = 250 * (constant + 40) * batch * length
        rows.append(
            {"metric": "peak_memory_bytes", "value": memory, "n": 1, "method": "torch profiler", **train}
        )
        grows = 3e-2 * length if mixer in ("attention", "hyena") else 0
        decode = {"batch": 1, "passes": "decode", "path": "hamiltonian:step short_conv:conv1d"} | here
        value = 1e-6 * (300 + 10 * constant + grows)
        rows.append({"metric": "seconds_decode", "value": value, "n": 7, "spread": 0.1, **decode})
    for metric, value in (("matmul_rate", 1e11), ("copy_bandwidth", 1e10)):
        rows.append({"metric": metric, "value": value, "n": 5, "spread": 0.02, "threads": 2})
    made = provenance(steps=0, started_at=started_at)
    return Run(spec("speed", mixer, 0, lr=None, **changes), made, rows)


def timed_store(store, mixers=ALL_MIXERS, **changes):
    for mixer in mixers:
        store.write(timed_run(mixer, **changes))
    return store
