"""The ground that comparisons stand on: how wide the embedding starts, and how gated memories norm their reads.

Step 0 of every comparison, for all memories at once, on validation data alone. With a narrow start and reads of
unit size, token identity is lost in the residual stream, and for most of a short training a model may learn
nothing but how frequent tokens are; which memory leaves that plateau first then passes for the better memory.

The rule, fixed before the runs: of every pair (width of the embedding, norm) the mean over all memories of the
validation bits is taken on each task, where memories without such a norm count as they are; the pair with the
least sum of ranks over both tasks is the backbone's, of equal ones the pair that was used before (.02, a norm a
head), else the one that changes less of it (added when two others were equal). And it must leave the plateau:
within GATE steps of training the loss of every memory on text is below that of a code that knows
frequencies only.
"""

from hmlcore.studies.kit.study import Experiment, Study

GATE = 20
"""Steps of training at `laptop` within which the plateau of token frequencies is to be left."""
MIXERS = ("hml", "gated_deltanet", "attention", "mamba", "mamba2", "retnet", "hyena")
STUDY = Study(
    "ground",
    "How must the backbone start, whatever the memory?",
    (
        Experiment(
            "ground", "How must the backbone start, whatever the memory?",
            factors=("task", "variant"), conditions=("pairs", "length", "context"),
            criterion=("bits_per_token", "min"), mixers=MIXERS,
        ),
    ),
)  # fmt: skip
