"""Counting beyond the training: sums modulo 2, 3, 5, 6 and 7 of 256 times as many symbols as were trained on.

A rotor is a phase that every token turns, read as (cos, sin). What it learns is a rational turn within some
thousandths, and the error adds up; rounding it after training to a lattice of turns takes the error away, if
validation at four times the training's length says so.

How it was decided. `rotor_starts` compares how many rotors there are, at which scales they start, and whether
heads turn with them, on parity and on sums modulo 5, with two seeds and two learning rates, on validation data
at the lengths of training and at 16 times that; every memory of the comparison is tuned there too. Then
`rotor_counting` runs ten fresh seeds of what was chosen, at the chosen rates, and tests. Sums modulo 3, 6 and
7, on which nothing was chosen, take the rates of modulo 5.

One thing was changed after the first twelve runs of `rotor_starts` had been seen, on validation: rotors were
snapped all to one lattice or not at all, and two models that were right in training stayed wrong beyond it.
Since then each has a lattice of its own; all runs are made anew.

Baselines have HML's start and layout: gated DeltaNet with slow gates and as many heads of the same size. All
are trained by Muon with AdamW. A run has *solved* its sums where .99 of the answers at the longest length are
right.
"""

from hmlcore.studies.kit.study import Experiment, Study

_CONDITIONS = ("length", "group", "rotor")
STUDY = Study(
    "rotors",
    "Which bounded memory counts beyond its training?",
    (
        Experiment(
            "rotor_starts", "How many rotors count, and how fast must they start?", factors=("task", "variant"),
            conditions=_CONDITIONS, criterion=("bits_snapped", "min"), mixers=("hml", "gated_deltanet", "gru"),
        ),
        Experiment(
            "rotor_counting", "Which bounded memory counts beyond its training?", factors=("task", "variant"),
            conditions=_CONDITIONS, criterion=("bits_snapped", "min"), mixers=("hml", "gated_deltanet", "gru"),
        ),
    ),
)  # fmt: skip
