"""Copy: how long, and how much, can each memory hold a message it was never trained to hold so long?

What limits recall should be the load (payload), not the lag (delay): so it was hoped of a state that is
conserved, and so it is asked of the layer's default, which forgets where tokens ask it to. It is refuted if
accuracy at a fixed payload falls with delay as fast as the recurrent reference's does.

Trained on short delays and two payloads, tested on longer ones. HML is its default. Every mixer has the same
parameters, stands on the ground of comparisons (`kit.ground`), is trained by Muon until .99 of its training
answers are right, and tries three learning rates, and further ones where an edge wins, with the first seed; the
rate is chosen on validation, by symbols rather than whole payloads: where no payload is right yet, symbols
still tell rates apart.
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
