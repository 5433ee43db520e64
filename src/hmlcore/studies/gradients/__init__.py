"""Gradient stability: how far back does learning reach, and is what it reaches still legible there?

HML's gradient at the longest lag should be at least twice that of every baseline, relative to the shortest lag
(g_early / g_late); an undamped memory's gradient neither vanishes nor explodes; and a flat gradient is not yet
a legible memory (`claims`). Each can be refuted by a number stored here.

Every mixer, and HML undamped, damped and with damping that tokens choose, in one layer, before and after
training on copy at the rate that validation chose for it on copy (HML's for its variants).
"""

from hmlcore.studies.kit.study import ALL_MIXERS, Experiment, Study

STUDY = Study(
    "gradients",
    "How far back does a gradient reach, and what is legible there?",
    (
        Experiment(
            "synthetic_gradient", "How far back does a gradient reach, and what is legible there?",
            factors=("task", "variant"),
            conditions=("payload", "delay", "length", "lag", "stage", "level", "head"), mixers=ALL_MIXERS,
        ),
    ),
)  # fmt: skip
