"""Sequences of different lengths side by side, filled up with padding that no memory may see."""

from typing import Any

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.models.backbone import Backbone, map_state


def select(state: list | None, rows: Tensor) -> list | None:
    """The memory of some of the sequences: `rows` are indices into the batch of each part of `state`."""
    return None if state is None else map_state(lambda x: x.index_select(0, rows.to(x.device)), state)


def read_padded(
    model: Backbone, tokens: Tensor, mask: Tensor, state: list | None = None, keep_state: bool | None = True
) -> tuple[Tensor, list | None]:
    """Hidden states [B, T, d_model] of tokens [B, T] that count where mask [B, T] is not 0, and the new state.

    In each row the counted tokens stand together; padding before and after them is not read, and its hidden
    states are 0. Rows that lie alike are read together, so that each row's state is that at its own end.

    Args: keep_state, False where the state is not asked for (then None).
    Raises: HmlcoreError for a mask of another shape or with gaps; and with `keep_state` where the states of
        rows of different lengths differ in shape, as of a mixer that keeps every token.
    """
    require(
        mask.shape == tokens.shape,
        f"mask must have the shape of the tokens, {tuple(tokens.shape)}, got {tuple(mask.shape)}",
    )
    counted = mask != 0
    if bool(counted.all()):
        return model.hidden(tokens, state)
    bounds = row_bounds(counted)
    weight = model.embedding.weight
    hidden = weight.new_zeros(*tokens.shape, model.config.d_model)
    parts: list[tuple[Tensor, list]] = []
    for first, count in bounds.unique(dim=0).tolist():
        rows = (bounds == torch.tensor([first, count], device=mask.device)).all(1).nonzero()[:, 0]
        before = select(state, rows)
        if count == 0:
            parts.append((rows, before or model.init_state(len(rows))))
            continue
        y, after = model.hidden(tokens[rows, first : first + count], before)
        hidden = hidden.to(y.dtype)
        hidden[rows, first : first + count] = y
        parts.append((rows, after))
    return hidden, _together(model, parts) if keep_state else None


def row_bounds(counted: Tensor) -> Tensor:
    """[B, 2], the first counted place of each row and how many there are. Raises: HmlcoreError for gaps."""
    place = torch.arange(counted.shape[1], device=counted.device)
    length, start = counted.sum(1), counted.long().argmax(1)
    together = (place >= start[:, None]) & (place < (start + length)[:, None])
    require(
        torch.equal(together, counted), "mask must count tokens that stand together in each row; it has gaps"
    )
    return torch.stack((start, length), 1)


def _together(model: Backbone, parts: list[tuple[Tensor, list]]) -> list[Any]:
    """The states of groups of rows as one, in the order of the batch."""
    order = torch.cat([rows for rows, _ in parts]).argsort()
    merged = []
    for states in zip(*(state for _, state in parts), strict=True):
        shapes = {tuple(x.shape[1:] for x in s) for s in states}
        require(
            len(shapes) == 1,
            f"mixer {model.config.mixer!r} keeps every token, so sequences of different lengths have no "
            "common state; read them one by one, or without a cache",
        )
        merged.append(
            type(states[0])(*(torch.cat(x)[order.to(x[0].device)] for x in zip(*states, strict=True)))
        )
    return merged
