"""What studies have chosen for all that come after: the ground of comparisons, as the study `ground` decided
it, and the rotors that count, as `rotors` did. Tests hold this to the store.

Needs no torch.
"""

WIDTH = 0.02
"""Standard deviation of the embedding at the start."""
NORM = "soft"
"""Of the reads of gated memories."""
ROTORS = {"rotors": 4}
"""HML's rotors, from .01 to .5 turns a token at the start."""
DEFAULT = {"dynamics": "delta"}
"""What HML is when nobody asks, beside its size, as the rule of `options` made it."""


def model_ground() -> dict:
    """What it adds to the model of a spec; a width of .02 is the backbone's own and is not said."""
    return {} if WIDTH == 0.02 else {"embedding_std": WIDTH}


def norm_ground() -> dict:
    """What it adds to the arguments of a gated memory."""
    return {} if NORM == "head" else {"norm": NORM}
