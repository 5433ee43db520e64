"""Portraits: what does a memory hold while it reads?

No comparison: each memory is trained once, on the ground of comparisons, to be looked into. Nothing is claimed.

    portraits  every mixer reads nested expressions; of one of the test the state of the last block is kept, up
               to 48 components evenly spread, after every token
    orbit      the layer of the first proposal, the leapfrog, reads the source text of Python's standard
               library; position and momentum, energies and gates of one head are kept
"""

from hmlcore.studies.kit.study import ALL_MIXERS, Experiment, Study

STUDY = Study(
    "portraits",
    "What does a memory hold while it reads?",
    (
        Experiment(
            "portraits", "What does each memory hold while it reads an expression?", factors=("task",),
            conditions=("length",), criterion=("score", "max"), mixers=ALL_MIXERS,
        ),
        Experiment(
            "orbit", "How do position and momentum of one head move through a text?",
            conditions=("length",), criterion=("bits_per_byte", "min"), mixers=("hml",),
        ),
    ),
)  # fmt: skip
