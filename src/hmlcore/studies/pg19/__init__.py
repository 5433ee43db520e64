"""PG-19: how well does each memory model books, and what is a longer memory of them worth?

At equal parameters, equal state where it can be set, equal training tokens and equal tuning (`claims`): HML
pays at most 1% more bits per byte than gated DeltaNet when it has read a whole span of a book; bounded
memories do not get worse beyond the context that they were trained on, where attention does; state carried
through books in training helps.

Byte pairs are learned from the training books, bits per byte compare them with bytes. Sliding-window attention,
with as many floats of keys and values as the matrix memories have of state, stands for what forgets everything
at a distance.
"""

from hmlcore.studies.kit.study import ALL_MIXERS, Experiment, Study

MIXERS = (*ALL_MIXERS, "window_attention")
STUDY = Study(
    "pg19",
    "How well does each memory model books, and what is a longer memory worth?",
    (
        Experiment(
            "pg19", "How well does each memory model books, and what is a longer memory worth?",
            factors=("task", "variant"),
            conditions=("length", "corpus", "context", "position", "document", "stride"),
            criterion=("bits_per_token", "min"), mixers=MIXERS,
        ),
    ),
)  # fmt: skip
