"""Copy: how long, and how much, can each memory hold a message it was never trained to hold so long?

What limits recall should be the load (payload), not the lag (delay), for a memory whose state is conserved. It
is refuted if accuracy at a fixed payload falls with delay as fast as the recurrent reference's does.

Trained on short delays and two payloads, tested on longer ones. HML is its default. Every mixer has the same
parameters, stands on the ground of comparisons (`kit.ground`), is trained by Muon until .99 of its training
answers are right, and tries the same learning rates; the rate is chosen on validation, by symbols rather than
whole payloads: where no payload is right yet, symbols still tell rates apart.
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
