"""The learning rates at `laptop` that were chosen on validation, where only the first seed tried both."""

# (experiment, case) → the mixers for which the smaller of the two rates did better by its criterion.
SMALLER: dict[tuple[str, str], tuple[str, ...]] = {
    ("pg19", "laptop"): ("attention", "gru", "lstm", "hyena", "linoss"),
    ("lra_text", "causal"): (
        *("hml", "attention", "gru", "lstm", "mamba", "mamba2"),
        *("retnet", "gated_deltanet", "momentum_deltanet", "linoss"),
    ),
    ("synthetic_tasks", "S3"): ("gated_deltanet",),
    ("synthetic_tasks", "adding"): ("attention", "lstm", "momentum_deltanet", "linoss"),
    ("synthetic_tasks", "addition"): ("hml", "lstm", "mamba", "mamba2", "hyena", "momentum_deltanet", "linoss"),
    ("synthetic_tasks", "copy"): ("mamba2", "hyena", "retnet"),
    ("synthetic_tasks", "overwrite"): ("gru", "lstm", "hyena", "linoss"),
    ("synthetic_tasks", "parity"): (
        "hyena",
        "retnet",
    ),
    ("synthetic_tasks", "recurrence"): ("attention", "gru", "lstm", "mamba", "mamba2", "momentum_deltanet"),
    ("synthetic_tasks", "sums modulo 3"): (
        "attention",
        "mamba2",
        "hyena",
        "gated_deltanet",
    ),
    ("synthetic_tasks", "sums modulo 5"): (
        "hml",
        "mamba",
        "gated_deltanet",
        "momentum_deltanet",
    ),
    ("synthetic_needle", "needle"): ("attention", "lstm", "mamba", "hyena"),
    ("synthetic_needle_text", "text"): (
        "hyena",
        "retnet",
        "gated_deltanet",
        "momentum_deltanet",
        "linoss",
    ),
    ("synthetic_recall", "width 16"): ("hyena", "gated_deltanet"),
    ("synthetic_recall", "width 32"): ("lstm", "mamba2", "hyena", "momentum_deltanet"),
}
