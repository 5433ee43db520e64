"""The grid of the options: candidates and what stands beside them, on every case, fresh seeds outermost."""

from hmlcore.studies.kit.families import cases, examine, family_spec, measure
from hmlcore.studies.kit.ground import model_ground, norm_ground
from hmlcore.studies.kit.study import Protocol
from hmlcore.studies.options import BESIDE, CANDIDATES

RATES = {"smoke": [1e-2], "laptop": [3e-3, 1e-2], "full": [3e-3, 1e-2]}
SEEDS = {"smoke": [0, 1], "laptop": [20, 21, 22, 23, 24], "full": [20, 21, 22, 23, 24]}
_OPTIONS: dict[str, dict] = {
    "oscillator": {"dynamics": "oscillator", "theta": "few"},
    "rotors": {"rotors": 8},
    "skip": {"skip": True},
}
_BESIDE: dict[str, dict] = {
    "gated DeltaNet + skip": {"skip": True},
}


def arguments(variant: str, d_model: int, heads: int) -> tuple[str, dict]:
    """The mixer of a variant and its arguments; all have 2·N·d_model floats of memory, N = d_model / heads."""
    row = {"num_heads": 2 * heads, "head_dim": d_model // heads}
    if variant in CANDIDATES:
        given = row | {"dynamics": "delta"} | norm_ground()
        for option in CANDIDATES[variant]:
            given |= _OPTIONS[option]
        return "hml", given
    slow = row | {"expand_v": 1, "gate_init": "slow"} | norm_ground()
    return "gated_deltanet", slow | _BESIDE.get(variant, {})


def grid(profile: str) -> list[dict]:
    """All runs of the profile."""
    return [
        family_spec(
            "options", profile, case, mixer, given, seed=seed, lr=lr, variant=variant, split="validation",
            ground=model_ground(),
        )
        for seed in SEEDS[profile]
        for case, s in cases(profile).items()
        for lr in RATES[profile]
        for variant in (*CANDIDATES, *BESIDE)
        for mixer, given in [arguments(variant, s["d_model"], s["heads"])]
    ]  # fmt: skip


PROTOCOLS = {"options": Protocol(grid, measure, examine=examine)}
