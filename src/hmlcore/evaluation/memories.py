"""What of a state is memory, and a backbone's blocks run from embeddings and states."""

import itertools
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.layers import Mixer
from hmlcore.models import Backbone

# Fields that remember no more than a few tokens, or only that there were some: the short convolution's inputs,
# the place in a chunk, marks of where tokens were.
_WINDOWS = ("conv", "clock", "present")


def grows(mixer: Mixer) -> bool:
    """Whether the state grows with the sequence (a cache), so that nothing has to be kept in a bounded one."""
    return mixer.state_size(2) != mixer.state_size(1)


def memory_fields(state: NamedTuple) -> list[str]:
    """The fields of a state that hold the memory: floating ones but the short convolution's window."""
    return [n for n, x in zip(state._fields, state, strict=True) if n not in _WINDOWS and x.is_floating_point()]


def memories(states: Iterable[Any]) -> list[Tensor]:
    """The memory of the blocks' states, tensor by tensor."""
    return [getattr(state, name) for state in states for name in memory_fields(state)]


def as_leaves(states: Iterable[tuple]) -> list[tuple]:
    """The same states, cut from what they came from; every floating tensor requires a gradient."""

    def leaf(x: Tensor) -> Tensor:
        return x.detach().clone().requires_grad_() if x.is_floating_point() else x

    return [type(state)(*map(leaf, state)) for state in states]


def run_blocks(model: Backbone, x: Tensor, states: list[tuple]) -> tuple[Tensor, list[tuple]]:
    """:meth:`Backbone.hidden` of embedded tokens x [B, T, d_model] in place of tokens."""
    after = []
    for block, state in zip(model.blocks, states, strict=True):
        x, state = block(x, state)
        after.append(state)
    return model.norm(x), after


def pull_back(
    model: Backbone, x: Tensor, states: list[tuple], above: list[list[Tensor]], read: Tensor | None = None
) -> tuple[Tensor, list[list[Tensor]]]:
    """Cotangents of the state after x, carried to x and to the state before it, for G cotangents at once.

    The forward pass over x is made again here, so a long sequence costs the memory of one piece of it.

    Args:
        x: [B, T, d_model], embedded tokens. states: before them.
        above: G lists, a cotangent for each floating tensor of the states after x; none if they do not count.
        read: [G, d_model], what the last hidden state is multiplied by, None where it does not count.
    Returns: cotangents of x [G, B, T, d_model], and G lists for the floating tensors of the states before.
    """
    x, states = x.detach().requires_grad_(), as_leaves(states)
    before = _floating(states)
    with torch.enable_grad():
        hidden, after = run_blocks(model, x, states)
    after = _floating(after)
    on_x, on_states = [], []
    for i in range(len(above) if read is None else len(read)):
        outputs, cotangents = [], []
        if read is not None:
            outputs.append(hidden[:, -1])
            cotangents.append(read[i].expand_as(hidden[:, -1]))
        if above:
            pairs = [(y, c) for y, c in zip(after, above[i], strict=True) if y.requires_grad]
            outputs += [y for y, _ in pairs]
            cotangents += [c for _, c in pairs]
        found = torch.autograd.grad(
            outputs, [x, *before], cotangents, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        on_x.append(found[0])
        on_states.append(list(found[1:]))
    return torch.stack(on_x), on_states


def _floating(states: Iterable[tuple]) -> list[Tensor]:
    return [x for state in states for x in state if x.is_floating_point()]


@torch.no_grad()
def states_at(model: Backbone, x: Tensor, states: list[tuple], starts: list[int]) -> list[list[tuple]]:
    """The states before each of `starts`, ascending from 0, along x [B, T, d_model]."""
    found = [states]
    for a, b in itertools.pairwise(starts):
        _, states = run_blocks(model, x[:, a:b], states)
        found.append(states)
    return found


def check_tokens(tokens: Tensor) -> None:
    """Refuse anything but at least one token in each of at least one sequence."""
    require(
        tokens.ndim == 2 and tokens.numel() > 0,
        f"tokens must be [B, T] with B, T > 0, got shape {tuple(tokens.shape)}",
    )
