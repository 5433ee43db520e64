"""Options: what should `HML()` be when nobody asks, and what does each part of it bring?

The second bake-off, on validation data alone. The rule, fixed before the runs: all candidates have the same
parameters (the MLP's width makes them equal), the same floats of memory, the same training (Muon; the better of
two learning rates by the score of the first seed) and the same three fresh seeds; of books they read a third of
what the comparison of memories reads. A candidate's score in a family is the mean over the family's cases,
conditions and seeds; candidates are ranked in each of the six families, equal scores sharing the mean of their
ranks, and **the lowest mean rank over the families leads**. An option has to pay for its words: of the
candidates whose mean rank is within :data:`MARGIN` of the leader's, the one with the fewest options is the
default; of several the one with the better rank.

A third rate beyond an edge that won, as other grids try it, was in the rule until most runs of the first seed
were there and none of the others: of two rates one is always at the edge, so that all would have been tuned a
second time. What stands at the edge is counted in the table; the comparison that follows tries three rates and
goes beyond edges.

Rotors are snapped where validation at a length beyond training says so, and judged as they are then.

Gated DeltaNet in HML's layout and start gets the options that its authors would allow and is measured beside,
ranked with nobody: what an option brings it is not dynamics.
"""

from hmlcore.studies.kit.study import Experiment, Study

MARGIN = 0.5
"""Of a mean rank."""
CANDIDATES: dict[str, tuple[str, ...]] = {
    "delta": (),
    "oscillator": ("oscillator",),
    "delta + rotors": ("rotors",),
    "delta + skip": ("skip",),
    "delta + channel decay": ("channel decay",),
    "delta + two corrections": ("two corrections",),
    "delta + rotors + skip": ("rotors", "skip"),
    "oscillator + rotors + skip": ("oscillator", "rotors", "skip"),
}
"""Candidate → its options beside those of "delta", one row a head and nothing else."""
BESIDE: dict[str, tuple[str, ...]] = {
    "gated DeltaNet": (),
    "gated DeltaNet + skip": ("skip",),
    "gated DeltaNet + channel decay": ("channel decay",),
    "gated DeltaNet + two corrections": ("two corrections",),
}
"""Measured beside the candidates → its options."""
STUDY = Study(
    "options",
    "What should HML be when nobody asks?",
    (
        Experiment(
            "options", "What should HML be when nobody asks, and what does each option bring?",
            factors=("task", "variant"),
            conditions=(
                "payload", "delay", "pairs", "needles", "group", "order", "corpus", "tokenizer", "context",
                "length", "rotor",
            ),
            criterion=("score", "max"), mixers=("hml", "gated_deltanet"),
        ),
    ),
)  # fmt: skip
