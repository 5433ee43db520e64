"""Bake-off: which dynamics should `HML()` have when nobody asks?

The rule, fixed before the runs. Nine members of the family meet on five tasks: overloaded recall (MQAR),
overwritten keys, a needle far beyond the lengths of training, sums modulo 3 with length generalisation, and
text as bytes. All have the same number of parameters (the MLP's width makes them equal), the same bytes of
memory, the same two learning rates to choose from on validation data (by cross-entropy, with the first seed
at `laptop`, with all seeds elsewhere), and the same three seeds. A variant's score on a task is the mean of
its accuracy over the task's test conditions (bits per byte for text, where less is better), then over seeds.
On every task the variants are ranked by score, equal scores sharing the mean of their ranks. **The lowest
mean rank over the five tasks wins; of equal mean ranks the one with fewer operations a token.** The winner is
the default of the layer.

Two things were changed after the runs had begun. At `laptop` rates are tried with the first seed only, for
time; no test score had been looked at then. Later the phases of rotating heads were made to learn ten times
more slowly, since they had become noise on text: standings on test had been seen by then, the factor was
chosen on validation. The two variants that rotate were run anew, the others stand as they were.

"delta" is gated DeltaNet with HML's start of the gates, the special case that the family must at least match;
what the winner loses or gains against it is reported task by task.

Equal bytes: with p rows a head of N = D channels keeps p·N² floats, so the two-row dynamics have half as many
heads. The short convolution's window is not counted: it is larger where there are more heads. One layer on
the synthetic tasks, so that it is the memory that is compared; two on text.
"""

from hmlcore.studies.kit.study import Experiment, Study

STUDY = Study(
    "bakeoff",
    "Which dynamics should HML have by default?",
    (
        Experiment(
            "bakeoff", "Which dynamics should HML have by default?", factors=("task", "variant"),
            conditions=("pairs", "length", "context", "keys", "writes"),
            criterion=("bits_per_token", "min"),  # the one score that all its tasks have
            mixers=("hml",),
        ),
    ),
)  # fmt: skip
