"""Recall: multi-query associative recall (MQAR) against the bytes of state a memory may use.

`recall`: at equal parameters and equal training a state of fixed size should recall as many pairs as
attention's growing cache does, for as long as the pairs fit the state; the frontier of accuracy over state
bytes decides. It is refuted where a smaller or equal state recalls more. HML is its default, on the ground of
comparisons (`kit.ground`), and all are trained by Muon until .99 of the training answers are right.

`synthetic_recall`, all mixers, made before that ground: HML recalls at least what gated DeltaNet does at equal
bytes, and no bounded memory of at most its bytes more.

Zoology's definition of the task (Arora et al., arXiv 2312.04927); the MLP stays (Zoology leaves it out),
because its width is what equalises parameters. Beside them stands what no memory can exceed: n pairs among K
keys and V values hold log₂ of the number of their assignments. Far before a state is full of bits the
interference of its keys decides.
"""

from hmlcore.studies.kit.study import ALL_MIXERS, Experiment, Study

STUDY = Study(
    "recall",
    "How many pairs can each memory recall, per byte of state?",
    (
        Experiment(
            "recall", "How many pairs can each memory recall, per byte of state?", factors=("d_model",),
            conditions=("pairs", "length"), criterion=("accuracy", "max"),
        ),
        Experiment(
            "synthetic_recall", "How many pairs does each memory recall, per byte?", factors=("d_model",),
            conditions=("pairs", "length"), criterion=("bits_per_token", "min"), mixers=ALL_MIXERS,
        ),
    ),
)  # fmt: skip
