"""Every mixer at a small size, its parameters moved off their starting point."""

import torch

from hmlcore.layers import MIXERS, build_mixer
from hmlcore.layers.hml import FAMILY

WIDTH = 16
# Every registered mixer, and the Hamiltonian layer in all its dynamics and with its own head size.
CASES = {
    **{name: (name, {}) for name in MIXERS},
    # Its parameters grow with the square of its channels, of which there are eight a width.
    "holographic_legacy": ("holographic_legacy", {"dim": 24}),
    **{f"hml-{dynamics}": ("hml", {"dynamics": dynamics}) for dynamics in FAMILY},
    **{
        f"hml-{dynamics}-rotating": ("hml", {"dynamics": dynamics, "rotation_heads": 1})
        for dynamics, kind in FAMILY.items()
        if kind.turns_with_values
    },
    "hml-oscillator-head": ("hml", {"dynamics": "oscillator", "theta": "head"}),
    "hml-oscillator-token": ("hml", {"dynamics": "oscillator", "theta": "token", "rotation_heads": 4}),
    "hml-wide": ("hml", {"num_heads": 3, "head_dim": 6}),
    "hml-rotors": ("hml", {"rotors": 3, "rotation_heads": 1, "skip": True, "norm": "soft"}),
    "hml-kick-rotors": ("hml", {"dynamics": "kick", "rotors": 2, "rotor_start": 0.2, "norm": "none"}),
    "attention-two-heads": ("attention", {"num_heads": 2, "conv_size": 1}),
    "hml-delta-corrections": ("hml", {"dynamics": "delta", "corrections": 2}),
    "hml-oscillator-corrections": (
        "hml",
        {"dynamics": "oscillator", "corrections": 3, "rotation_heads": 1, "rotors": 2, "skip": True},
    ),
    "gated_deltanet-corrections": ("gated_deltanet", {"corrections": 2, "skip": True}),
    "hml-delta-channel": ("hml", {"dynamics": "delta", "decay": "channel", "rotation_heads": 1}),
    "hml-oscillator-channel": ("hml", {"dynamics": "oscillator", "decay": "channel", "corrections": 2}),
    "gated_deltanet-channel": ("gated_deltanet", {"decay": "channel"}),
    "gated_deltanet-negative": ("gated_deltanet", {"negative_eigenvalues": True, "corrections": 2}),
    "mamba2-rotation": ("mamba2", {"rotation": True, "d_state": 6, "head_dim": 8}),
    "holographic-slots": (
        "holographic",
        {"binding": "convolution", "slots": 3, "routing": "soft", "lift": "learned", "dim": 20, "norm": "soft"},
    ),
    "holographic-signs": (
        "holographic",
        {"binding": "bipolar", "slots": 4, "decay": "fast_slow", "dim": 25, "skip": True},
    ),
    "gru-small": ("gru", {"hidden": 5, "conv_size": 2}),
}

CHOOSING = ("holographic-signs",)  # signs and slots that rounding may flip, with gradients straight through


def make(case, dtype=torch.float32, seed=0):
    """The mixer of `case` with every parameter stirred, so that no gate sits at a special value."""
    name, arguments = CASES[case]
    torch.manual_seed(seed)
    mixer = build_mixer(name, WIDTH, **arguments)
    with torch.no_grad():
        for p in mixer.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return mixer.to(dtype)


def normal(*shape, seed=1, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
