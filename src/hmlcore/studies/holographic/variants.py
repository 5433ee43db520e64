"""Variants of the layer, and of the system as described, one part changed at a time. No torch."""

from hmlcore.studies.holographic import LAYER

WEIGHT, LIGHTER = 0.1, 0.01
"""Of the loss beside the task's: what was written down before any run, and what was added when that had kept
recall from being learned; with it nothing is decided."""
PARTS: dict[str, tuple[str, dict, float]] = {
    "unitary": (LAYER, {}, 0.0),
    "convolution": (LAYER, {"binding": "convolution"}, 0.0),
    "signs": (LAYER, {"binding": "bipolar"}, 0.0),
    "4 slots": (LAYER, {"slots": 4}, 0.0),
    "4 slots shared": (LAYER, {"slots": 4, "routing": "soft"}, 0.0),
    "no decay": (LAYER, {"decay": "none"}, 0.0),
    "fast and slow": (LAYER, {"slots": 2, "decay": "fast_slow"}, 0.0),
    "loss at lag 0": (LAYER, {"lag": 0}, WEIGHT),
    "loss at random lags": (LAYER, {}, WEIGHT),
    "loss at lag 0, lighter": (LAYER, {"lag": 0}, LIGHTER),
    "loss at random lags, lighter": (LAYER, {}, LIGHTER),
    "as described": ("holographic_legacy", {}, 0.0),
    "as described with its loss": ("holographic_legacy", {}, WEIGHT),
    "as described and keys redrawn": ("holographic_legacy", {"keys": "redrawn"}, 0.0),
}
"""Variant → mixer, what it is given beside `dim`, the weight of its loss."""
MADE_OF = tuple(v for v, (mixer, _, weight) in PARTS.items() if mixer == LAYER and not weight)
PARTS_OF = {"recall": tuple(PARTS), "overwrite": MADE_OF}
"""Task → the variants that are asked there."""
