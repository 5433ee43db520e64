"""The physics of the memory: what grows, what is conserved, what a gradient can reach; nothing is trained.

What is claimed (`claims`): symplectic is not bounded, so that the undamped leapfrog
grows under keys that change; the oscillator's exact flow has exponent zero and finds its way back after
100,000 tokens; friction makes momentum stable below η ≈ 1.5(1 − γ). Each is refuted by a number stored here.

One run a dynamics, of gates that are constant: the matrix memories (leapfrog, Euler, delta, oscillator) with
all measurements, the rest of HML's family with a phase portrait. η = βh², h = 1. Measured on the CPU, in
float64 except for the way back, whatever the device: it is a long chain of small products.
"""

from hmlcore.studies.kit.study import Experiment, Study

STUDY = Study(
    "physics",
    "What grows, and what is conserved?",
    (
        Experiment(
            "physics", "What grows, and what is conserved?", factors=("dynamics",),
            conditions=(
                "eta", "gamma", "alpha", "rho", "theta", "head_dim", "tokens", "lag", "t", "keys", "energy",
            ),
            mixers=("hml",), trained=False,
        ),
    ),
)  # fmt: skip
