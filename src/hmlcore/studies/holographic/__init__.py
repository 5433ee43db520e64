"""Bindings superposed in a state of fixed size: what it holds and costs, and whether it replaces attention.

*Capacity.* Random keys need no training: pairs are bound and superposed, each is asked for by its key, and the
answer is the nearest of K values. Beside it stands the law (`kit/superposition.py`), which depends on D / N and
K alone; slots at equal bytes, to which keys are routed at random; the state stored with fewer bits; and keys
that are learned for the number of pairs they will be asked in.

*Cost.* The system's source has a table by which it needs 42 times fewer operations than attention: it sets a
whole sequence of attention against one token of its own. Here both are counted and timed a token: operations at
the source's sizes, 512 wide with 8 slots of 4,096, and seconds at the width of the other laptop experiments.

*Tasks.* The layer against attention, matched gated DeltaNet, HML and Mamba-2 on recall, copying, overwriting,
a needle and bytes of books, at equal parameters and floats of state. Each tries three learning rates in each
task, and one further where an edge wins, with a seed that is not tested; validation chooses, of books after a
third of the steps. Then five fresh seeds are tested. A run ends early once .99 of its training answers are
right.

*Parts.* What bindings, slots and decays are worth on recall and on overwriting; on recall also losses beside
the task's at lag 0 and at random lags, and the system as described, with keys of positions and with keys
redrawn. Variants of the layer share its rate, those of the described system have their own. The layer's recall
is also tested with its state stored in fewer bits between the pairs and the questions.

*Text.* A training of few steps, as the source reports one, on the text of WikiText-2 or on books where its
training split is not there; tested on WikiText-2. No rate was chosen, and nothing is claimed.

*Sizes.* Models of 21 to 100 million parameters are counted; a step of the smallest is measured at length 2,048.

*Portrait.* One model of each kind, one seed, to be looked into and not compared: its slots, gates and answers.

Sizes, rates to try and rules were written before any run of tasks and parts. Until then the layer had been
trained a few times on them, scored on validation alone, to see what the grids cost.
"""

from hmlcore.studies.kit.study import Experiment, Study

LAYER = "holographic"
RIVALS = {
    "attention": "attention", "gated DeltaNet": "gated_deltanet", "HML": "hml", "Mamba-2": "mamba2",
}  # fmt: skip
"""Variant → mixer."""
DESCRIBED = "as described"
_CELL = ("task", "variant")
_CHOOSES = ("score", "max")
_PLACES = ("pairs", "writes", "keys", "payload", "delay", "length", "queries")
STUDY = Study(
    "holographic",
    "What do superposed bindings hold, and what do they cost?",
    (
        Experiment(
            "holographic_capacity", "How many pairs does a superposition hold, and does it follow the law?",
            factors=("binding",), conditions=("channels", "pairs", "slots", "stored", "keys"), mixers=(LAYER,),
            trained=False,
        ),
        Experiment(
            "holographic_cost", "From which length on is a superposition cheaper than attention?",
            conditions=("length", "size"), mixers=("attention", LAYER, "holographic_legacy"), trained=False,
            repeatable=False,
        ),
        Experiment(
            "holographic_tuning", "Which rate does each memory want?",
            factors=_CELL, criterion=_CHOOSES, conditions=_PLACES,
            mixers=(LAYER, *RIVALS.values(), "holographic_legacy"),
        ),
        Experiment(
            "holographic_tasks", "Do superposed bindings do what attention and the delta rule do?",
            factors=_CELL, criterion=_CHOOSES, conditions=(*_PLACES, "stored"),
            mixers=(LAYER, *RIVALS.values()),
        ),
        Experiment(
            "holographic_ablation", "What are bindings, slots, decays and a second loss worth?",
            factors=_CELL, criterion=_CHOOSES, conditions=("pairs", "writes", "keys", "length"),
            mixers=(LAYER, "holographic_legacy"),
        ),
        Experiment(
            "holographic_portrait", "What do slots hold while pairs are read and asked for?",
            factors=_CELL, conditions=("pairs", "length"), mixers=(LAYER, "holographic_legacy"),
        ),
        Experiment(
            "holographic_text", "How far does a quick training on text come, with a second loss and without?",
            factors=("variant",), conditions=("corpus", "tokenizer", "context", "length"),
            mixers=(LAYER, "gated_deltanet"),
        ),
        Experiment(
            "holographic_sizes", "What do the sizes take that the system was described in?",
            factors=("millions",), conditions=("length",), mixers=(LAYER,), trained=False, repeatable=False,
        ),
    ),
)  # fmt: skip
