"""Bytes: how well does each memory model real text, at the context it was trained on and beyond it?

At equal parameters and equal training bytes the bounded memories should stay within 2% of attention's bits per
byte at the training context, and not get worse beyond it, where attention's rotary positions are untrained.
Either half can be refuted.

Text: the source of the running Python's standard library, which every machine has, split by module; and the
PG-19 subset where ``HMLCORE_DATA`` or the hub has it. The rate is chosen on validation.
"""

from hmlcore.studies.kit.study import Experiment, Study

STUDY = Study(
    "bytes",
    "How well does each memory model real text, and beyond its training context?",
    (
        Experiment(
            "bytes", "How well does each memory model real text, and beyond its training context?",
            factors=("corpus",), conditions=("length", "context", "position"),
            criterion=("bits_per_byte", "min"),
        ),
    ),
)  # fmt: skip
