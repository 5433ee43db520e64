"""A needle in a haystack: does a memory find what it read long ago, at which depth, up to which length?

Trained on short haystacks, HML should still answer at ones many times longer, at every depth, as well as the
best other bounded memory (`claims`). It is refuted where accuracy falls to chance with length, or where
another memory of equal bytes keeps more.

RULER's retrieval settings (Hsieh et al., arXiv 2404.06654), from scratch: `synthetic_needle` in letters over a
small vocabulary, `synthetic_needle_text` in their own sentences in books, a token a byte. In letters all
models train on four needles, one or all asked for; `full` also on one long value and on four scattered values
of one key, which at `laptop` nobody learned in 800 steps of all four settings at once. In prose they train on
one needle; `smoke` has RULER's noise for a haystack there and needs no data. The test is the grid of depths
and lengths, and every one of RULER's settings, trained on or not, at one length. A bounded memory reads
stretch after stretch and passes its state on, so that its memory stays constant.
"""

from hmlcore.studies.kit.study import ALL_MIXERS, Experiment, Study

SCORE = {"synthetic_needle": ("accuracy", "tokens"), "synthetic_needle_text": ("exact", "bytes")}
"""Experiment → its metric and the unit of its lengths: letters found; in prose the share of texts whose whole
answer is right, since digits may be guessed."""

STUDY = Study(
    "needle",
    "Which memory finds what it read long ago, how deep and how long after?",
    (
        Experiment(
            "synthetic_needle", "Which memory finds a needle, how deep and how long after?", factors=("task",),
            conditions=("length", "needles", "queries", "values", "depth", "haystack", "scattered"),
            criterion=("bits_per_token", "min"), mixers=ALL_MIXERS,
        ),
        Experiment(
            "synthetic_needle_text", "Which memory finds a number in a book, how deep and how long after?",
            factors=("task",), conditions=("length", "corpus", "depth", "kind"),
            criterion=("bits_per_token", "min"), mixers=ALL_MIXERS,
        ),
    ),
)  # fmt: skip
