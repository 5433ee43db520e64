"""Maths and kernels: tensors in, tensors out. Importing the package registers every op's forms."""

from hmlcore.ops import (
    attention,
    delta_rule,
    diagonal_scan,
    gru,
    hamiltonian,
    holographic,
    long_conv,
    lstm,
    momentum_delta,
    nonlinear,
    oscillator,
    retention,
    selective_scan,
    short_conv,
    sparse_read,
    sparse_write,
    window_attention,
)  # fmt: skip

__all__ = [
    "attention", "delta_rule", "diagonal_scan", "gru", "hamiltonian", "holographic", "long_conv", "lstm",
    "momentum_delta", "nonlinear", "oscillator", "retention", "selective_scan", "short_conv", "sparse_read",
    "sparse_write", "window_attention",
]  # fmt: skip
