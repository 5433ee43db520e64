"""Counting beyond the training: sums modulo 2, 3, 5, 6 and 7 of 256 times as many symbols as were trained on.

A rotor is a phase that every token turns, read as (cos, sin). What it learns is a rational turn within some
thousandths, and the error adds up; rounding it after training to a lattice of turns takes the error away, if
validation at four times the training's length says so.

How it was decided. `rotor_starts` compares how many rotors there are, at which scales they start, and whether
heads turn with them, on parity and on sums modulo 5, with two seeds and three learning rates or more (one
further where an edge wins), on validation data at the lengths of training and at 16 times that; every memory of
the comparison is tuned there too. Then `rotor_counting` runs fresh seeds of what was chosen, at the chosen
rates, and tests: ten of the rotors, the first five of them of every rival. Sums modulo 3, 6 and 7, on which
nothing was chosen, take the rates of modulo 5. Training ends early where a run answers .99 of its training
right at every length.

Two things were changed after runs had been seen, on validation. Rotors were snapped all to one lattice or not
at all, and two models that were right in training stayed wrong beyond it: since then each has a lattice of its
own. And W_r, which reads the rotors, began like every other map; in eight trials (one seed, parity and modulo
5) three were then wrong at 1,024 symbols, of the same eight with W_r = 0 at the start one, and so it begins
now. All runs were made anew after that.

`rotor_counting` left parity open: of its ten seeds two were not learned within the steps that all had, and in
others sums of four times the training's length had shown no drift, so that rotors stayed unsnapped and lost
count later. `rotor_counting_again` asks the same of ten other seeds of the rotors alone, with twice the steps
for those that need them and snapping by sums of sixteen times the training; its rule was written after the
first ten seeds were seen and before any run of its own.

Rivals. The delta rule, and gated DeltaNet with HML's start and layout, lack the rotors and nothing else. Three
can count in principle: gated DeltaProduct, two corrections a token whose eigenvalues may be negative, with its
published start (Siems et al., arXiv 2502.10297; Grazzi et al., arXiv 2411.12537); Mamba-2 with the rotations of
Mamba-3, in the better of two starts, its own and HML's scales; and the GRU. All memories but the GRU's have as
many floats, and all models as many parameters, the ground and the training (Muon with AdamW) of every
comparison. A run has *solved* its sums where .99 of the answers at the longest length are right.

Towers. A sum does not ask for the order of its terms, a word of S3 or D4 does: such a group needs a rotor whose
turn depends on another, and two layers of rotors can be that, the first keeping the sign by which the second
turns. `rotor_towers` trains them on words of 4 to 32 symbols, beside one layer of the same rotors, two of the
delta rule or of gated DeltaProduct, and a GRU; all have the parameters that attention has in two layers. Seed 0
tries every rate, and validation, at the lengths of training and at 16 times the longest, chooses one for each
group and memory; the fresh seeds are run at it, and the rule sees them alone.

The rotors of towers were chosen in eight trials of two layers, on validation and before any run; no rival had
trials of its own. On D4, with one seed at .001, training ended after 3,600 steps for eight rotors or four that
start from .01 to .5 turn, and after 4,440 for four at .2; at 2,048 symbols only the eight were right. Turns of
the second layer are learned less exactly than those of sums, so that 12ths are tried beside finer lattices: by
them, four at .2 got from .07 to .54 at 2,048 symbols, and rotors that were right before stayed so.
"""

from hmlcore.studies.kit.study import Experiment, Study

_CONDITIONS = ("length", "group", "rotor")
MIXERS = ("hml", "gated_deltanet", "mamba2", "gru")
STUDY = Study(
    "rotors",
    "Which bounded memory counts beyond its training?",
    (
        Experiment(
            "rotor_starts", "How many rotors count, and how fast must they start?", factors=("task", "variant"),
            conditions=_CONDITIONS, criterion=("bits_snapped", "min"), mixers=MIXERS,
        ),
        Experiment(
            "rotor_counting", "Which bounded memory counts beyond its training?", factors=("task", "variant"),
            conditions=_CONDITIONS, criterion=("bits_snapped", "min"), mixers=MIXERS,
        ),
        Experiment(
            "rotor_counting_again", "Do rotors count that are trained longer and snapped by longer sums?",
            factors=("task", "variant"), conditions=_CONDITIONS, criterion=("bits_snapped", "min"),
            mixers=("hml",),
        ),
        Experiment(
            "rotor_towers", "Which bounded memory follows words of groups that do not commute?",
            factors=("task", "variant"), conditions=_CONDITIONS, criterion=("bits_snapped", "min"),
            mixers=("hml", "gated_deltanet", "gru"),
        ),
    ),
)  # fmt: skip
