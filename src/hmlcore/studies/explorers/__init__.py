"""Models small enough for a page: those whose memories the explorers open (``hmlcore.explorers``).

No comparison: each model is trained once, with one seed, to be looked into. Three tasks that people can type.
*Recall*: lower-case letters are keys and upper-case letters values; a pair that comes later overwrites, and a
key alone asks. *Sums*: digits, added modulo seven, which a phase can follow and a table cannot. *Text*: any
sentence, of which the next byte is said; learned from a few books of PG-19, which ``HMLCORE_DATA`` or the hub
has. All read one character a token, of text one byte, and have one layer, so that what the memory returns is
what the answer is made of.

    hml run explorer-models --profile laptop --save-models src/hmlcore/explorers/models

makes the files of the package again, in a store that lacks the runs (HMLCORE_RESULTS names another).
"""

from hmlcore.studies.kit.study import Experiment, Study

ALPHABETS = {
    "recall": " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.",
    "sums": "0123456",
    "text": "".join(map(chr, range(256))),
}
"""Task → the character of each token; 256 of them, by their numbers, stand for the bytes of UTF-8."""
STUDY = Study(
    "explorers",
    "What can be seen inside a memory that is small enough for a page?",
    (
        Experiment(
            "explorer-models", "How well do the models of the explorers do what they are shown doing?",
            factors=("task", "variant"), conditions=("keys", "writes", "pairs", "group", "length"),
            mixers=("hml", "gated_deltanet", "gru", "attention"),
        ),
    ),
)  # fmt: skip
