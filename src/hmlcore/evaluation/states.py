"""What a mixer's state looks like while it reads: its components, token by token."""

from typing import NamedTuple

import torch
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.models import Backbone, Classifier


@torch.no_grad()
def state_rows(
    model: Backbone | Classifier, tokens: Tensor, names: list[str], components: int = 48
) -> list[dict]:
    """The state of the last block after each of `tokens` [T], as rows of a trace.

    Up to `components` entries of the state are followed, evenly spread over all of them. Where the state
    grows (attention's cache, Hyena's history) an entry has no value before its token has been read. Inputs
    that the short convolution holds back, the same for every mixer, and marks are left out.

    Args: names: a text for each token.
    Returns: rows with t, token, component, value (None where there is none yet), and floats, the size of
        the whole state after t + 1 tokens.
    """
    components = check_int("components", components)
    backbone = model.backbone if isinstance(model, Classifier) else model
    was_training = backbone.training
    backbone.eval()
    device = backbone.embedding.weight.device
    x = backbone.embedding(tokens[None].to(device))
    for block in backbone.blocks[:-1]:
        x, _ = block(x)
    last = backbone.blocks[-1]
    inputs = last.mixer_norm(x)
    state = last.mixer.init_state(1, inputs.device, inputs.dtype)
    states = []
    for t in range(len(tokens)):
        _, state = last.mixer.step(inputs[:, t], state)
        states.append(_memories(state))
    backbone.train(was_training)
    growing = [_growing(first, final) for first, final in zip(states[0], states[-1], strict=True)]
    places = _places([_by_entry(x, dim) for x, dim in zip(states[-1], growing, strict=True)], components)
    rows = []
    for t, memories in enumerate(states):
        parts = [_by_entry(x, dim) for x, dim in zip(memories, growing, strict=True)]
        floats = last.mixer.state_size(t + 1)
        for component, (part, i, j) in enumerate(places):
            there = i < len(parts[part])
            value = float(parts[part][i, j]) if there else None
            rows.append({"t": t, "token": names[t], "component": component, "value": value, "floats": floats})
    return rows


def _memories(state: NamedTuple) -> list[Tensor]:
    return [x[0] for name, x in zip(state._fields, state, strict=True) if name not in ("conv", "present")]


def _growing(first: Tensor, final: Tensor) -> int | None:
    """The dimension along which a state has grown between two times."""
    return next((d for d, (a, b) in enumerate(zip(first.shape, final.shape, strict=True)) if a != b), None)


def _by_entry(part: Tensor, growing: int | None) -> Tensor:
    """[entries so far, their components]; a state of constant size is one entry."""
    return part.flatten()[None] if growing is None else part.movedim(growing, 0).flatten(1)


def _places(parts: list[Tensor], components: int) -> list[tuple[int, int, int]]:
    """(part, row, column) of the entries followed."""
    every = [(n, i, j) for n, part in enumerate(parts) for i in range(len(part)) for j in range(part.shape[1])]
    return [every[int(k)] for k in torch.linspace(0, len(every) - 1, min(components, len(every)))]
