"""Nonlinear potentials: is a well that is not quadratic, or one that is learned, a better memory?

The first proposal let the state fall in a potential V(q) that a network learns, the same for every token; the
layer that came of it sets up a quadratic one anew with every key. Here the dynamics with fixed wells,
quadratic ("quad"), separable and flat far out ("sep"), learned ("mlp"), and quadratic with a learned kick once
a chunk ("kick"), meet the two whose wells tokens address ("leapfrog", "oscillator"), at equal parameters,
equal floats of memory and equal tuning, in one layer, on recall and on sums modulo 3.

What is claimed (`claims`, written before the runs): wells that tokens address recall more than any fixed ones;
a learned potential recalls more than quadratic wells; and no fixed well follows sums beyond the training.
"""

from hmlcore.studies.kit.study import Experiment, Study

DYNAMICS = ("leapfrog", "oscillator", "quad", "sep", "mlp", "kick")
STUDY = Study(
    "potentials",
    "Is a nonlinear or a learned potential a better memory than a quadratic one?",
    (
        Experiment(
            "potentials", "Is a nonlinear or a learned potential a better memory than a quadratic one?",
            factors=("task", "variant"), conditions=("pairs", "length"), criterion=("bits_per_token", "min"),
            mixers=("hml",),
        ),
    ),
)  # fmt: skip
