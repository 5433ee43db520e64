"""A saved trace: what one layer of a model did on one text, for explorers to show where the model is too large.

    save_trace("needle.safetensors", model, tokens, lambda token: tokenizer.decode([token]))
    MemoryExplorer("needle.safetensors")

It holds the numbers of :class:`hmlcore.explorers.steps.Steps`, from which the front end makes all that it
draws. Nothing can be typed into a trace and no physics changed: that takes the model.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from hmlcore.checks import check_function, check_instance, check_int
from hmlcore.errors import require
from hmlcore.explorers.models import LARGEST, TRACE_FORMAT
from hmlcore.explorers.steps import Steps, steps_of
from hmlcore.layers import HML, recording
from hmlcore.models import Backbone
from hmlcore.models.tensor_file import detached, write_whole
from hmlcore.ops.oscillator import multiply_pairs

LONGEST = 96
"""Tokens of a trace: a map of more cannot be read."""
GUESSES = 3


def save_trace(
    path: Path | str, model: Backbone, tokens: Tensor, spelled: Callable[[int], str], block: int = -1
) -> None:
    """Write what block `block` of `model` does on `tokens` [T], and the model's best guesses after each.

    Args: spelled, what stands on the page for a token.
    Raises: HmlcoreError for tokens that are no sequence of 1 to 96, for a block that is not there, for a layer
    that :func:`hmlcore.explorers.steps.steps_of` refuses, numbers that are not finite, and a file that would
    be larger than explorers take.
    """
    layers = len(check_instance("model", model, Backbone).blocks)
    count = check_instance("tokens", tokens, Tensor).numel()
    require(tokens.ndim == 1 and 0 < count <= LONGEST, f"tokens must be 1 to {LONGEST} in a row, got {count}")
    check_function("spelled", spelled)
    index = check_int("block", block, -layers, layers - 1) % layers
    mixer = model.blocks[index].mixer
    with recording(model) as traces, torch.no_grad():
        best = torch.softmax(model(tokens[None])[0][0].float(), -1).topk(min(GUESSES, model.config.vocab_size))
    trace = traces[f"blocks.{index}.mixer"]
    tensors = {name: x[0].float() for name, x in _numbers(steps_of(mixer, trace)).items()}
    rotors = mixer.rotation.lattice if isinstance(mixer, HML) and mixer.rotation is not None else None
    if rotors is not None:  # as the front end has them: turns, within half a turn of zero
        turns = trace["phase"][0].float() / (2 * torch.pi)
        tensors["phase"] = turns - turns.round()
        tensors["lattice"] = rotors
    for name, x in tensors.items():
        require(
            bool(torch.isfinite(x).all()), f"{name} of block {index} is not finite: training must have diverged"
        )
    guesses = [
        [[spelled(int(token)), round(float(p), 4)] for p, token in zip(*row, strict=True)]
        for row in zip(best.values, best.indices, strict=True)
    ]
    told = {
        "format": TRACE_FORMAT, "mixer": model.config.mixer, "block": str(index),
        "tokens": json.dumps([spelled(int(token)) for token in tokens]), "guesses": json.dumps(guesses),
    }  # fmt: skip
    size = sum(x.numel() * x.element_size() for x in tensors.values())
    require(size <= LARGEST, f"the trace would have {size:,} bytes; explorers take at most {LARGEST:,}")
    write_whole(Path(path), detached(tensors), told, "a trace")


def _numbers(steps: Steps) -> dict[str, Tensor]:
    """What the front end cannot make itself, by name; the state and the reads follow from it. The values of
    heads that turn are in their own frame, in which no phase occurs and lengths are the same."""
    names = ("key", "query", "move", "reach", "read", "alpha", "beta")
    turned = bool(steps.turned.any())
    own = multiply_pairs(steps.turned.cos(), -steps.turned.sin(), steps.value) if turned else steps.value
    found = {name: getattr(steps, name) for name in names} | {"value": own}
    return found | {"push": steps.push.real, "turn": steps.push.imag}
