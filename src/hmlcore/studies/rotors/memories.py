"""The memories that count, and what each is given: equal floats, and the ground of every comparison."""

from hmlcore.studies.kit.ground import norm_ground

LATTICES = (60, 84, 420)
"""Of turns: 60 holds 2, 3, 4, 5, 6, 10, 12; 84 also 7; 420 all of them, more finely."""

ROTORS: dict[str, dict] = {
    "2 rotors from .01 to .5": {"rotors": 2},
    "4 rotors at .2, heads turn": {"rotors": 4, "rotor_start": 0.2, "rotation_heads": 4},
    "4 rotors at .2": {"rotors": 4, "rotor_start": 0.2},
    "4 rotors from .01 to .5": {"rotors": 4},
    "8 rotors from .01 to .5": {"rotors": 8},
}
"""What HML is given beside dynamics "delta"; scales are turns a token."""


def arguments(variant: str, s: dict) -> tuple[str, dict]:
    """The mixer of a variant and its arguments: memories of 2·N·d_model floats, N = d_model / heads."""
    d, heads = s["d_model"], s["heads"]
    row = {"num_heads": 2 * heads, "head_dim": d // heads}
    matched = row | {"expand_v": 1} | norm_ground()
    turning = {"d_state": d // heads, "head_dim": 2 * d // heads, "rotation": True}
    rivals = {
        "gated DeltaNet": ("gated_deltanet", matched | {"gate_init": "slow"}),
        "gated DeltaProduct": ("gated_deltanet", matched | {"corrections": 2, "negative_eigenvalues": True}),
        "Mamba-2 + rotation": ("mamba2", turning),
        "Mamba-2 + fast rotation": ("mamba2", turning | {"rotation_start": 0.5}),
        "GRU": ("gru", {"conv_size": 4}),
    }
    if variant in rivals:
        return rivals[variant]
    return "hml", row | {"dynamics": "delta"} | norm_ground() | ROTORS.get(variant, {})
