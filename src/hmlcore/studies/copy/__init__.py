"""Copy: how long, and how much, can each memory hold a message it was never trained to hold so long?

What limits recall should be the load (payload), not the lag (delay), for a memory whose state is conserved. It
is refuted if accuracy at a fixed payload falls with delay as fast as the recurrent reference's does.

Trained on short delays and two payloads, tested on longer ones. Every mixer has the same parameters, the same
short convolution and the same learning rates; the rate is chosen on validation, by symbols rather than whole
payloads: where no payload is right yet, symbols still tell rates apart.
"""

from hmlcore.studies.kit.study import Experiment, Study

STUDY = Study(
    "copy",
    "How long and how much can each memory hold a message?",
    (
        Experiment(
            "copy", "How long and how much can each memory hold a message?",
            conditions=("payload", "delay", "length"), criterion=("accuracy", "max"),
        ),
    ),
)  # fmt: skip
