"""A sparse memory that writes what surprises it: which gate finds most again, per token that it writes?

Beside a window of attention lie slots. Every token reads them, few are written: a gate decides which, and a
controller holds how many. Six experiments.

`sparse_laws` needs no model: slots that are driven out at random are gone after Δ tokens by e^{−ρΔ/S}, oldest
first by a step, and cues that hash into N buckets of W ways are lost as Poisson's law says.

`sparse_speed`: a token costs the same at every length, gates, logits and writes on, and how much of the
window's own speed is left, in one process on one machine.

`sparse_stream`: half a million tokens through one memory, and what the process holds meanwhile.

`sparse_recall`: facts are planted in a stream and asked for beyond the window, by their cue and never by the
answer (:mod:`hmlcore.tasks.planted`). A model learns to read with everything written; then the same weights are
asked with every gate that is not learned, at every density, so that what is compared is the choice alone. The
learned gate, addresses by centroids, and the window without a memory are trained by themselves, at equal
parameters. So are HML, gated DeltaNet and a Memorizing Transformer of as many bytes of state, and a Recurrent
Memory Transformer, whose tokens of memory are read in full and therefore few. Controls: random writing at the
same density, the oracle that is told the rare ids, the same memory unread, chance, unigram, echo, and the
nearest of all cues. The source's own metric, which presents the answer, is reported beside.

At the headline's distance slots by hash are as many as the source has, with the same weights.

`sparse_far` is that distance again, at several densities: models of fresh seeds, each asked for facts that no
other was asked for (in `sparse_recall` all seeds are asked for the same), and among the gates the one by
frequency, which came out ahead nearer by and had not been asked so far away.

Rules and grids stand before any run. `sparse_recall` and the ladder were cut to what a laptop does in about two
hours each: half of the steps (on training's own split the loss of another seed stood still by then), fewer
rows, gates and densities. One grid was changed after a run had been seen: facts of
`sparse_laws` fell into any bucket at first, and of two in one the later drove out the earlier sooner than the
law says of writes that come after both (by .08 at most); since then each has a bucket of its own.
"""

from hmlcore.studies.kit.study import Experiment, Study

_ASKED = ("gate", "density", "kind", "distance", "facts")
_MIXERS = ("window_attention",)
_RIVALS = ("hml", "gated_deltanet", "attention")
STUDY = Study(
    "sparse",
    "Does a memory that chooses what it writes find more again than one that writes at random?",
    (
        Experiment(
            "sparse_laws", "How long do slots last, and how many cues collide?", factors=("variant",),
            conditions=("delta", "load"), mixers=("slots",), trained=False,
        ),
        Experiment(
            "sparse_speed", "What does a sparse memory cost beside its window?", factors=("variant",),
            conditions=("length",), mixers=_MIXERS, trained=False, repeatable=False,
        ),
        Experiment(
            "sparse_stream", "Is a long stream read in constant memory?", conditions=("length",),
            mixers=_MIXERS, trained=False, repeatable=False,
        ),
        Experiment(
            "sparse_recall", "Which gate finds most again, per token that it writes?", factors=("variant",),
            conditions=_ASKED, criterion=("bits_per_token", "min"), mixers=(*_MIXERS, *_RIVALS),
        ),
        Experiment(
            "sparse_far", "Does any gate find more again than random writing over half a million tokens?",
            factors=("variant",), conditions=_ASKED, criterion=("bits_per_token", "min"), mixers=_MIXERS,
        ),
        Experiment(
            "sparse_ladder", "What does each version of the source find again?", factors=("variant",),
            conditions=_ASKED, criterion=("bits_per_token", "min"), mixers=_MIXERS,
        ),
    ),
)  # fmt: skip
