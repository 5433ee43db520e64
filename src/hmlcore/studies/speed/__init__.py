"""Speed and memory: what does a token cost each memory, in training and in decoding, as sequences grow?

`speed`, one layer of every mixer: a bounded memory costs the same at every length, so that attention, whose
cost grows, is overtaken at some length; which one, on this machine and with these implementations, is
measured. It is refuted if HML's time a token grows with length as attention's does, or never falls below it.
HML is today's default.

`op_speed`, ops without a layer: the Hamiltonian op trains at least twice as fast on a CPU as transformers'
gated delta rule at equal state bytes, and faster than causal attention from 2,048 tokens on; its second row
costs at most half again; a decoded token costs the same after a thousand tokens and after a million. On a GPU:
1.2 times as fast as flash-linear-attention's gated delta rule, in at most its memory. Each is refuted by a
length at which it does not hold.

All are timed in turns in one process: ratios are of medians taken together. What would exceed the limit of time
or memory is left out, with a notice, and has no row.
"""

from hmlcore.studies.kit.study import ALL_MIXERS, Experiment, Study

OPS = (
    "op:hml-p2", "op:hml-p1", "op:hml-p1-bytes", "op:gdn-transformers", "op:sdpa", "op:gdn-fla",
    "op:momentum-fla", "op:ssd-fla",
)  # fmt: skip
STUDY = Study(
    "speed",
    "What does a token cost each memory, by length?",
    (
        Experiment(
            "speed", "What does a token cost each memory, by length?", conditions=("length",),
            mixers=ALL_MIXERS, trained=False, repeatable=False,
        ),
        Experiment(
            "op_speed",
            "What does a token cost the memory itself, against others' ops and the machine's floor?",
            conditions=("length",), mixers=OPS, trained=False, repeatable=False,
        ),
    ),
)  # fmt: skip
