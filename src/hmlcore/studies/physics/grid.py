"""The grid of the physics, and how every spec of it is measured: on the CPU, with constant gates."""

import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import torch
from tqdm import tqdm

from hmlcore.evaluation import conservation, lyapunov
from hmlcore.evaluation.physics import orbit, set_gates
from hmlcore.evaluation.token_map import KNOBS, TokenMap, token_map
from hmlcore.layers import HML
from hmlcore.layers.hml import FAMILY
from hmlcore.results import Run, collect_provenance
from hmlcore.studies.kit.comparison import make_spec
from hmlcore.studies.kit.study import Protocol

STRENGTH = 0.1  # η of everything but the maps
# What the leapfrog turns the addressed direction by in one undamped step: cos θ = 1 − η/2.
THETA = math.acos(1 - STRENGTH / 2)
FRICTION = (1.0, 0.9, 0.5)
CASES = {
    "leapfrog": [{"eta": STRENGTH, "gamma": gamma} for gamma in FRICTION],
    "euler": [{"eta": STRENGTH, "gamma": gamma} for gamma in FRICTION],
    "delta": [{"eta": STRENGTH}],
    "oscillator": [{"rho": rho, "theta": THETA} for rho in (1.0, 1 - STRENGTH)],
}
"""The gates of reversal, energy and gradient, the undamped ones first."""

_SETTINGS = {
    "smoke": dict(
        head_dim=8, points=[7, 5], tokens=80, sequences=3, head_dims=[4, 8],
        frictions=[0.0, 0.5], boundary_tokens=200,
        reversal=[10, 100], energy_tokens=60, lags=[1, 4, 16, 64], portrait_tokens=24,
    ),
    "laptop": dict(
        head_dim=16, points=[33, 21], tokens=3000, sequences=8, head_dims=[4, 16, 64],
        frictions=[0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99], boundary_tokens=3000,
        reversal=[10, 30, 100, 400, 1000, 4000, 10_000, 30_000, 100_000], energy_tokens=1000,
        lags=[1, 4, 16, 64, 256, 1024, 4092], portrait_tokens=240,
    ),
    "full": dict(
        head_dim=64, points=[49, 41], tokens=10_000, sequences=16, head_dims=[4, 16, 64, 128],
        frictions=[0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99], boundary_tokens=20_000,
        reversal=[10, 30, 100, 400, 1000, 4000, 10_000, 30_000, 100_000], energy_tokens=4000,
        lags=[1, 4, 16, 64, 256, 1024, 4092], portrait_tokens=240,
    ),
}  # fmt: skip
_PORTRAIT = dict(d_model=16, head_dim=8, period=4, beta=STRENGTH, gamma=0.9, theta=THETA)


def grid(profile: str) -> list[dict]:
    """One spec a dynamics of HML's family.

    Settings: `head_dim`, key width N; `points`, of the map's two axes; `tokens` and `sequences` behind each of
    its exponents; `head_dims`, `frictions` and `boundary_tokens`, where the boundary of stability is sought;
    `reversal`, tokens there and back; `energy_tokens`; `lags`; `portrait_tokens`.
    """
    rest = {"portrait_tokens": _SETTINGS[profile]["portrait_tokens"]}
    return [
        make_spec(
            "physics", profile, "hml", seed=0, dynamics=name, precision="fp64",
            model={"d_model": _PORTRAIT["d_model"], "layers": 1,
                   "mixer_args": {"num_heads": 1, "head_dim": _PORTRAIT["head_dim"], "dynamics": name}
                   | ({"theta": "head"} if name == "oscillator" else {})},
            portrait={k: v for k, v in _PORTRAIT.items() if k not in ("d_model", "head_dim")},
            train=[], evaluate=[], **(_SETTINGS[profile] if name in KNOBS else rest),
        )
        for name in FAMILY
    ]  # fmt: skip


def measure_all(specs: list[dict], device: torch.device) -> list[Run]:
    """Measure every spec by itself; the same spec gives the same rows, so `hml verify` can make them again.

    Rows, all with `dynamics`, the gates (eta, gamma, rho, theta, alpha) and n, the number of key sequences:
    lyapunov (stderr; `upper`, the mean-square exponent), boundary (η* with stderr, by gamma and head_dim;
    `upper`, that of the mean square), reversal_error (tokens), energy (over that at the start; t, keys) and
    energy_drift (keys, energy "plain" or "shadow"), gradient_by_lag (lag); and recall_error of the portrait.
    """
    runs = []
    with tqdm(specs, desc="physics", disable=None, unit="run") as bar:
        for spec in bar:
            bar.set_postfix_str(spec["dynamics"])
            runs.append(_run(spec))
    return runs


def _run(spec: dict) -> Run:
    started, begun = datetime.now(UTC), time.perf_counter()
    name, rows = spec["dynamics"], []
    if name in KNOBS:
        for part in (_map, _boundaries, _reversal, _energy, _gradient):
            rows += part(spec)
    layer, trace = _portrait(spec)
    last = trace[-spec["portrait"]["period"] :]
    # The association that the orbit is of is met once a period; how far its recall is then from 1.
    error = sum(math.hypot(row["q"] - 1, row["p"]) for row in last) / len(last)
    rows.append({"metric": "recall_error", "value": error, "n": len(last)})
    size = layer.state_size(spec["portrait_tokens"])
    seconds = time.perf_counter() - begun
    provenance = collect_provenance(
        "cpu", steps=0, parameters=sum(p.numel() for p in layer.parameters()), state_floats=size,
        state_bytes=4 * size, flops_per_token=layer.flops_per_token(spec["portrait_tokens"]),
        wall_s=seconds, tokens_per_s=spec["portrait_tokens"] / seconds, started_at=started,
    )  # fmt: skip
    return Run(
        spec,
        provenance,
        [row | {"dynamics": name} for row in rows],
        [row | {"dynamics": name} for row in trace],
    )


def axes(dynamics: str, points: list[int]) -> dict[str, list[float]]:
    """The two gates that a map goes over and their values, the first one's axis first.

    η is spread over its logarithm, .01 to 4. The delta rule has β for η, and α in place of friction.
    """
    first, second = points
    if dynamics == "oscillator":
        return {"theta": _even(0, math.pi, first), "rho": _even(0, 1, second)}
    etas = [10**x for x in _even(-2, math.log10(4), first)]
    return {"eta": etas} | (
        {"alpha": _even(0.9, 1, second)} if dynamics == "delta" else {"gamma": _even(0, 1, second)}
    )


def _even(low: float, high: float, count: int) -> list[float]:
    return [low + (high - low) * i / (count - 1) for i in range(count)]


def _map(spec: dict) -> Iterator[dict]:
    name, n = spec["dynamics"], spec["head_dim"]
    along = axes(name, spec["points"])
    columns = torch.meshgrid(*(torch.tensor(x, dtype=torch.float64) for x in along.values()), indexing="ij")
    gates = dict(zip(along, (x.flatten() for x in columns), strict=True))
    maps = token_map(name, **gates)
    found = lyapunov.lyapunov_exponents(
        maps, n, tokens=spec["tokens"], sequences=spec["sequences"], seed=spec["seed"]
    )  # fmt: skip
    upper = lyapunov.mean_square_exponents(maps, n)
    for i in range(len(upper)):
        here = {gate: float(x[i]) for gate, x in gates.items()}
        yield {
            "metric": "lyapunov", "value": float(found.mean[i]), "stderr": float(found.stderr[i]),
            "upper": float(upper[i]), "n": spec["sequences"], "head_dim": n, **here,
        }  # fmt: skip


def _boundaries(spec: dict) -> Iterator[dict]:
    """Where friction stops being enough: the η at which the exponent crosses zero, for every γ < 1."""
    if "gamma" not in KNOBS[spec["dynamics"]]:
        return
    for n in spec["head_dims"]:
        for gamma in spec["frictions"]:
            etas = (1 - gamma) * torch.linspace(1, 5, 81, dtype=torch.float64)
            maps = token_map(spec["dynamics"], eta=etas, gamma=gamma)
            each = lyapunov.lyapunov_exponents(
                maps, n, tokens=spec["boundary_tokens"], sequences=spec["sequences"], seed=spec["seed"]
            ).each  # fmt: skip
            at = lyapunov.crossing(etas, each)
            upper = lyapunov.crossing(etas, lyapunov.mean_square_exponents(maps, n)[:, None])
            yield {
                "metric": "boundary", "value": float(at.mean()), "stderr": float(at.std() / len(at) ** 0.5),
                "upper": float(upper), "n": len(at), "head_dim": n, "gamma": gamma,
            }  # fmt: skip


def _reversal(spec: dict) -> Iterator[dict]:
    for gates in CASES[spec["dynamics"]]:
        found = conservation.reversal_errors(
            token_map(spec["dynamics"], **gates), spec["reversal"], n=spec["head_dim"], seed=spec["seed"]
        )  # fmt: skip
        yield from _measured("reversal_error", "tokens", found, gates)


def _gradient(spec: dict) -> Iterator[dict]:
    for gates in CASES[spec["dynamics"]]:
        found = conservation.gradient_by_lag(
            token_map(spec["dynamics"], **gates), spec["lags"], n=spec["head_dim"], seed=spec["seed"]
        )  # fmt: skip
        yield from _measured("gradient_by_lag", "lag", found, gates)


def _measured(metric: str, place: str, found: list, gates: dict) -> Iterator[dict]:
    for x in found:
        yield {"metric": metric, "value": x.value, "stderr": x.stderr, "n": x.n, place: x.at, **gates}


def _energy(spec: dict) -> Iterator[dict]:
    name, tokens = spec["dynamics"], spec["energy_tokens"]
    # Under a constant key everything happens in a few turns.
    drawn = {"constant": range(min(tokens, 60) + 1), "changing": sorted({tokens * i // 60 for i in range(61)})}
    for gates in CASES[name]:
        maps, strength = token_map(name, **gates), gates["eta"] if "eta" in gates else gates["theta"]
        sizes = {"n": spec["head_dim"], "seed": spec["seed"]}
        for keys in ("constant", "changing"):
            path = conservation.energies(maps, strength, tokens, changing=keys == "changing", **sizes)
            # The geometric mean of what grows exponentially: its typical size, not that of its largest.
            typical = (path / path[0]).log().mean(1).exp()
            here = {"n": path.shape[1], "keys": keys, **gates}
            for t in drawn[keys]:
                yield {"metric": "energy", "value": float(typical[t]), "t": t, **here}
            yield _drift(path, "plain", tokens, here)
        if maps.rows == 2 and gates["gamma"] == 1:
            path = _shadow(name, maps, gates["eta"], tokens, sizes)
            yield _drift(path, "shadow", tokens, here | {"keys": "constant"})


def _shadow(name: str, maps: TokenMap, eta: float, tokens: int, sizes: dict) -> torch.Tensor:
    return conservation.shadow_energies(maps, eta, 0.5 if name == "euler" else 0.0, tokens, **sizes)


def _drift(path: torch.Tensor, energy: str, tokens: int, here: dict) -> dict:
    """The median of sequences, because one that grows exponentially outweighs all others in a mean."""
    value = float(conservation.drift(path).median())
    return {"metric": "energy_drift", "value": value, "energy": energy, "tokens": tokens, **here}


def _portrait(spec: dict) -> tuple[HML, list[dict]]:
    """The orbit of an untrained head, whose keys and values are the same for every dynamics."""
    p, model = spec["portrait"], spec["model"]
    g = torch.Generator().manual_seed(spec["seed"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec["seed"])
        layer = HML(model["d_model"], **model["mixer_args"])
    set_gates(layer, beta=p["beta"], gamma=p["gamma"], theta=p["theta"])
    inputs = torch.randn(p["period"], model["d_model"], generator=g)
    x = inputs.repeat(-(-spec["portrait_tokens"] // p["period"]), 1)[: spec["portrait_tokens"]]
    # From the second period on the short convolution sees nothing but the cycle.
    rows = orbit(layer, x, p["period"])
    # Only where the potential is the association's own is its minimum where q = 1.
    rest = 1.0 if spec["dynamics"] in KNOBS else None
    return layer, [row | {"token": row["t"] % p["period"], "rest": rest} for row in rows]


PROTOCOLS = {"physics": Protocol(grid, side_by_side=measure_all)}
