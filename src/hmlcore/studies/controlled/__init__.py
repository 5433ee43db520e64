"""Controlled tasks: rewriting, counting, adding, predicting, waiting; trained short, tested long.

At equal parameters, state and tuning (`claims`): HML rewrites as well as gated DeltaNet; its turning heads
follow sums modulo m beyond the lengths of training, where decaying and adding memories cannot; what limits
copying is the load and not the lag. Nobody is expected to follow S3 with one layer whose transitions commute.

The group problems, copy and adding have one layer, so that it is the memory that is compared; where two tokens
have to be bound first (overwrite, addition, recurrence) there are two, because attention cannot do it in one.
"""

from hmlcore.studies.kit.study import ALL_MIXERS, Experiment, Study

STUDY = Study(
    "controlled",
    "What can each memory rewrite, count and add up?",
    (
        Experiment(
            "synthetic_tasks", "What can each memory rewrite, count and add up?", factors=("task",),
            conditions=("payload", "delay", "length", "keys", "writes", "digits"),
            criterion=("bits_per_token", "min"), mixers=ALL_MIXERS,
        ),
    ),
)  # fmt: skip
