"""Ablations of the first proposal: what do damping, injection, the integrator, the energy and the step do?

The leapfrog layer as first proposed, and one factor changed at a time, at the same budget:

    A1  damping: chosen by tokens (the base), none (γ = α = 1), fixed (γ = .9, α = 1)
    A2  injection: by the kick to the momentum (the base), or to the position as well
    A3  integrator: leapfrog (the base), symplectic Euler
    A4  energy: no penalty (the base), 10⁻³ or 10⁻² times the mean relative change of H over blank tokens
    A5  step size at the start: h = 1 (the base), ½, ¼

Damping that tokens choose should beat none and a fixed one; the integrator and the injection make no
difference beyond the spread of seeds; the energy penalty not help (`claims`). On copy and, where there are no
blanks to penalise, without A4 on overwrite. One learning rate, the larger of the two of the other comparisons,
which is the one that the bake-off chose for the leapfrog on every task.
"""

from hmlcore.studies.kit.study import Experiment, Study

STUDY = Study(
    "ablation",
    "What does each part of the first proposal do?",
    (
        Experiment(
            "synthetic_ablation", "What does each part of the first proposal do?", factors=("task", "variant"),
            conditions=("payload", "delay", "length", "keys", "writes"), mixers=("hml",),
        ),
    ),
)  # fmt: skip
