"""Long Range Arena, ListOps and Text: which memory follows a nested expression, and reads a review to its end?

`lra_listops`: HML should answer as well as the best of the baselines at the lengths of training, and every
bounded memory stay above the most frequent answer beyond them. `lra_text`: causal HML should answer as well as
the best other bounded memory; reading both ways help it; and nobody get worse by reading more of a review than
in training. At equal parameters, equal state where it can be set, and equal tuning; `claims` has the rules.

`full` is Long Range Arena's own setting: expressions to 2,000 tokens, and 4,096 bytes of a review in the small
setting of S4 (4 layers, width 128). The laptop trains on shorter ones and is compared with nothing published;
`smoke` has reviews that are made up, so it needs no data. Causal models and those that read both ways are
different questions and never mixed; published S4 and S5 numbers are of the second kind.
"""

from hmlcore.studies.kit.study import ALL_MIXERS, Experiment, Study

_QUESTION = "Which memory follows nested operations, and how far?"
_READING = "Which memory can tell whether a review liked its film, byte by byte?"
STUDY = Study(
    "lra",
    "Which memory solves Long Range Arena's ListOps and Text, and at what length does it lose the thread?",
    tuple(
        Experiment(
            name, question, factors=("direction",), conditions=("length",), criterion=("accuracy", "max"),
            mixers=ALL_MIXERS,
        )
        for name, question in (("lra_listops", _QUESTION), ("lra_text", _READING))
    ),
)  # fmt: skip
