"""Fair: which memory is better at what, where all had the same ground, the same care and fresh seeds?

The rules, fixed before the runs.

**Care.** Every row is tuned alone, case by case, on validation: each of its configurations at three learning
rates, and one further, twice at most, where its edge wins, with seed 0 of `fair_tuning`; of books it reads a
third of what the test's runs read. The configuration and the rate with the best score go on. HML has one
configuration, its rivals have the starts, the layouts or the heads that their authors or this book gave them.
All have the parameters of attention, and the memories whose size can be set 2·N·d_model floats a block,
N = d_model / heads. All stand on one ground (`kit.ground`) and are trained by Muon with AdamW; a run ends early
once .99 of its training answers are right.

**Test.** `fair` trains five fresh seeds of each row at what tuning chose, and tests. No choice has seen them.

**Gate.** A case counts where a row other than HML's reaches .9 on the longest condition within its training,
as a mean over seeds; books, where one is below the 5-gram floor of the same text. A family's score is the mean
of its cases that count. A rival counts in a family where its mean within the lengths of training is .05 above
chance. What fails is "not measured at this size", never confirmed or refuted.

Two cases more decide nothing and are read on validation alone, by a few memories at one rate: would the gate be
reached by byte pairs of the same books, and by expressions that are trained longer? The second was added when
tuning had shown that no memory evaluates expressions in the steps that it has, before a run of the test.

A seed that a row lacks in a case decides nothing until it is there.

**Verdicts.** Pairs of seeds, HML less the rival: accuracy, of books the share of bits saved. *better*: the
difference is above 0; *not worse*: above −.02, of books −.01; *worse*: below 0; each by a one-sided paired
t-test at .05 after Holm's correction over all families and rivals that count. What is better is not worse as
well, and is called better; what is worse but not by the margin is called not worse. Else *undecided*.

HML is what the bake-off of options made the default (`kit.ground.DEFAULT`): the delta rule, which no option
beat by enough to pay for its words. So that what dynamics and rotors add can be told, three more rows are
HML's: "HML (oscillator)", whom ranks put first there, and "HML (rotors)", the default with rotors that count.
The row "HML (delta)" that stood in this rule before the bake-off would have been HML once more. Changed before
any run.
"HML (leapfrog)" is the layer as first proposed, position and momentum: half the heads, each with two matrices.
It came when tuning had begun and before a score of it was looked at, so that the comparison holds the memory
that gave the layer its name, and copy, recall, books and lists need no older one of it. As one rival more it
counts in Holm's correction.

Changed when tuning was nearly whole, by what a reading of the code had found, before a run of the test:
recurrences left the sums (`families`); between the questions of recall stands one symbol in place of random
keys; Hyena's filter network is no wider than the model, so that its MLP is not starved; Mamba-2 may have half
the channels with keys twice as long; RetNet's "published" has no gain a channel in place of the convolution
that its authors do not have; each configuration is tried beyond its own edge, not the best alone; a guess of
recall is one in the number of its pairs; a claim about an option is undecided where nothing is told apart.
What was touched is tuned anew. Rotating Mamba-2 got a second, faster start, which `rotor_starts` had found
better, when copy and recall of the test's first seed had run; validation chooses between them.
Known and kept: a run that ends early has trained less for conditions beyond its training; Muon moves the
matrices that hold gates in Mamba, Mamba-2 and the LSTM, while gates of HML and the DeltaNets, maps of their
own, are AdamW's.
"""

from hmlcore.studies.kit.study import Experiment, Study

OWN = "HML"
ROWS: dict[str, str] = {
    OWN: "hml",
    "HML (oscillator)": "hml",
    "HML (rotors)": "hml",
    "HML (leapfrog)": "hml",
    "gated DeltaNet": "gated_deltanet",
    "matched gated DeltaNet": "gated_deltanet",
    "Mamba": "mamba",
    "Mamba-2": "mamba2",
    "Mamba-2 + rotation": "mamba2",
    "RetNet": "retnet",
    "Hyena": "hyena",
    "attention": "attention",
    "LSTM": "lstm",
}
"""Row → its mixer. Matched gated DeltaNet has HML's layout: one value row, twice the heads."""
OPTIONS = tuple(row for row, mixer in ROWS.items() if mixer == ROWS[OWN] and row != OWN)
"""Rows that are HML with other dynamics, or with an option."""
GROWING = ("Hyena", "attention")
"""Rows that keep everything: no bounded memories."""
RIVALS = tuple(row for row in ROWS if row != OWN)

_CONDITIONS = (
    "payload", "delay", "pairs", "needles", "group", "order", "corpus", "tokenizer", "context", "length",
    "rotor",
)  # fmt: skip
_MIXERS = tuple(dict.fromkeys(ROWS.values()))
STUDY = Study(
    "fair",
    "Which memory is better at what, on one ground and with the same care?",
    (
        Experiment(
            "fair_tuning", "Which start, layout and rate does each memory want?",
            factors=("task", "variant", "configuration"), conditions=_CONDITIONS, criterion=("score", "max"),
            among="configuration", mixers=_MIXERS,
        ),
        Experiment(
            "fair", "Which memory is better at what, on one ground and with the same care?",
            factors=("task", "variant", "configuration"), conditions=_CONDITIONS, criterion=("score", "max"),
            mixers=_MIXERS,
        ),
    ),
)  # fmt: skip
