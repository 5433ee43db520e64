"""The grid of the options: candidates and what stands beside them, on every case, fresh seeds outermost."""

from pathlib import Path

from hmlcore.studies.kit.families import cases, examine, family_spec, measure
from hmlcore.studies.kit.ground import ROTORS, norm_ground
from hmlcore.studies.kit.scores import FAMILY
from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.kit.tuning import Tuned, rates_due, read_tuned
from hmlcore.studies.options import BESIDE, CANDIDATES

RATES = {"smoke": [1e-2], "laptop": [3e-3, 1e-2], "full": [3e-3, 1e-2]}
SEEDS = {"smoke": [20, 21], "laptop": [20, 21, 22], "full": [20, 21, 22, 23, 24]}
_OPTIONS: dict[str, dict] = {
    "oscillator": {"dynamics": "oscillator", "theta": "few"},
    "rotors": ROTORS,
    "skip": {"skip": True},
    "channel decay": {"decay": "channel"},
    "two corrections": {"corrections": 2},
}


def arguments(variant: str, d_model: int, heads: int) -> tuple[str, dict]:
    """The mixer of a variant and its arguments; all have 2·N·d_model floats of memory, N = d_model / heads."""
    given = {"num_heads": 2 * heads, "head_dim": d_model // heads} | norm_ground()
    own = variant in CANDIDATES
    given |= {"dynamics": "delta"} if own else {"expand_v": 1, "gate_init": "slow"}
    for option in (CANDIDATES if own else BESIDE)[variant]:
        given |= _OPTIONS[option]
    return ("hml" if own else "gated_deltanet"), given


def grid(profile: str) -> list[dict]:
    """All runs of the profile: every rate with the first seed, the chosen one with the others."""
    stored = read_tuned(Path(__file__).parent).get(profile, {}).get("options", {})
    found, seeds = {case: s for case, s in cases(profile).items() if case in FAMILY}, SEEDS[profile]
    return [
        family_spec(
            "options", profile, case, mixer, given, seed=seed, lr=lr, variant=variant, split="validation",
            steps=max(3, s["steps"] // 3) if FAMILY[case] == "books" else None,
        )
        for i, seed in enumerate(seeds)
        for case, s in found.items()
        for variant in (*CANDIDATES, *BESIDE)
        for mixer, given in [arguments(variant, s["d_model"], s["heads"])]
        for lr in _rates(profile, stored.get(f"{case}, {variant}", {}).get(mixer), first=i == 0)
    ]  # fmt: skip


def _rates(profile: str, tuned: Tuned | None, first: bool) -> list[float]:
    """Of two rates one is always at the edge; none is tried beyond it here."""
    return RATES[profile] if first else rates_due(RATES[profile], tuned, tunes=False)


PROTOCOLS = {"options": Protocol(grid, measure, examine=examine)}
