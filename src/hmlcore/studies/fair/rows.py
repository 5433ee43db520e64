"""What each row of the comparison is given: configuration → the arguments of its mixer."""

from hmlcore.studies.kit.ground import DEFAULT, ROTORS, norm_ground

Configurations = dict[str, dict]
_SLOW = {"gate_init": "slow"}
_ONLY = "the only one"  # or, of rotating Mamba-2, the first: a second came when this one was tuned


def configurations(row: str, d_model: int, heads: int, length: int, text: bool) -> Configurations:
    """Name → arguments of every configuration that `row` is tuned over, at a width and number of heads.

    Where a memory's size can be set it is 2·N·d_model floats, N = d_model / heads: in H heads of N × 2N, in 2H
    of N × N, in H of two N × N (the leapfrog), in E = 2·d_model channels of N, or in d_model channels of 2N,
    whose shared keys are as long. Mamba keeps the sixteen of its authors, attention and Hyena everything.

    Args: length, the longest that is trained on, which is the unit of time of Hyena's filters. text, whether
        the case is text, for which Hyena's authors draw wider filters than for recall.
    """
    n = d_model // heads
    one_row = {"num_heads": 2 * heads, "head_dim": n} | norm_ground()
    published = {"num_heads": heads}
    matched = one_row | {"expand_v": 1}
    turning = {"d_state": n, "head_dim": 2 * n, "rotation": True}
    filters = {"filter_length": length, "filter_width": min(64, d_model)}
    if text:
        filters |= {"filter_features": 33, "filter_frequency": 14}
    return {
        "HML": {_ONLY: one_row | DEFAULT},
        "HML (oscillator)": {_ONLY: one_row | {"dynamics": "oscillator", "theta": "few"}},
        "HML (rotors)": {_ONLY: one_row | DEFAULT | ROTORS},
        "HML (leapfrog)": {_ONLY: published | {"head_dim": n} | norm_ground() | {"dynamics": "leapfrog"}},
        "gated DeltaNet": {
            "published start": published | norm_ground(),
            "slow start": published | norm_ground() | _SLOW,
        },
        "matched gated DeltaNet": {"published start": matched, "slow start": matched | _SLOW},
        "Mamba": {_ONLY: {}},
        "Mamba-2": {f"{h} heads": {"d_state": n, "head_dim": 2 * d_model // h} for h in (heads, 2 * heads)}
        | {"half the channels": {"expand": 1, "d_state": 2 * n, "head_dim": n}},
        "Mamba-2 + rotation": {_ONLY: turning, "fast start": turning | {"rotation_start": 0.5}},
        "RetNet": {"published": published | {"conv_size": 1}, "with convolution": published},
        "Hyena": {_ONLY: filters},
        "attention": {_ONLY: {"num_heads": heads}},
        "LSTM": {_ONLY: {"forget_bias": 1.0}},
    }[row]
