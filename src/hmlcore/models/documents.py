"""Documents that share a row: where they begin, and how a mixer that packs reads each by itself."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hmlcore.errors import require
from hmlcore.models.backbone import Backbone
from hmlcore.models.padding import row_bounds
from hmlcore.ops.packing import check_cu_seqlens


def by_token(name: str, ids: Tensor, tokens: Tensor) -> Tensor:
    """`ids` for each of tokens [B, T]. Raises: HmlcoreError unless they are integers [B, T], [1, T] or [T]."""
    batch, length = tokens.shape
    require(
        tuple(ids.shape) in ((batch, length), (1, length), (length,)),
        f"{name} must be [B, {length}], [1, {length}] or [{length}], got {tuple(ids.shape)}",
    )
    require(not ids.is_floating_point(), f"{name} must be integers, got {ids.dtype}")
    return ids.expand(batch, length)


def document_starts(
    tokens: Tensor,
    counted: Tensor | None,
    position_ids: Tensor | None = None,
    seq_idx: Tensor | None = None,
    **cu_seq_lens: Tensor | None,
) -> Tensor | None:
    """[B, T], true where a document of tokens [B, T] begins behind another one of its row; None if none does.

    Args:
        counted: [B, T], false for padding; None: all count.
        position_ids: [B, T], [1, T] or [T], rising by one within a document and beginning again with the next.
        seq_idx: [B, T], [1, T] or [T], another number for the next document.
        cu_seq_lens: [S + 1] bounds of documents in a batch of one, by what they are called.
    Raises: HmlcoreError for positions with gaps, what has another shape, and where two disagree.
    """
    counted = torch.ones_like(tokens, dtype=torch.bool) if counted is None else counted
    follows = counted[:, 1:] & counted[:, :-1]
    found = {}
    if position_ids is not None:
        found["position_ids"] = _begin_again(by_token("position_ids", position_ids, tokens), counted)
    if seq_idx is not None:
        found["seq_idx"] = follows & (by_token("seq_idx", seq_idx, tokens).diff(dim=1) != 0)
    for name, bounds in cu_seq_lens.items():
        if bounds is not None:
            found[name] = torch.zeros_like(follows)
            found[name][:, [b - 1 for b in check_cu_seqlens(bounds, *tokens.shape)[1:-1]]] = True
            found[name] &= follows
    if not found:
        return None
    first, *others = found
    for other in others:
        require(
            torch.equal(found[first], found[other]), f"{first} and {other} begin documents at different places"
        )
    return F.pad(found[first], (1, 0)) if bool(found[first].any()) else None


def _begin_again(positions: Tensor, counted: Tensor) -> Tensor:
    """[B, T − 1], where counted positions [B, T] do not rise by one; there they are the lowest again."""
    breaks = counted[:, 1:] & counted[:, :-1] & (positions.diff(dim=1) != 1)
    if breaks.any():
        lowest = positions[counted].min()
        leaps = breaks & (positions[:, 1:] != lowest)
        before, after = (int(x[leaps][0]) if leaps.any() else 0 for x in (positions[:, :-1], positions[:, 1:]))
        require(
            not leaps.any(),
            f"position_ids must rise by one, or begin again at {lowest}; they go from {before} to {after}",
        )
    return breaks


def read_documents(model: Backbone, tokens: Tensor, counted: Tensor | None, starts: Tensor) -> Tensor:
    """Hidden states [B, T, d_model] of tokens [B, T], in which documents begin at `starts` and with each row.

    All that is counted is laid end to end; hidden states of padding are 0.
    Raises: HmlcoreError where the mixer does not pack, and for padding within a row.
    """
    mixer = model.blocks[0].mixer
    require(
        mixer.packs,
        f"{int(starts.sum(1).max()) + 1} documents share a row, and mixer {mixer.name!r} cannot keep "
        "them apart; give each a row of its own",
    )
    counted = torch.ones_like(starts) if counted is None else counted
    row_bounds(counted)
    begins = (starts | (counted.cumsum(1) == 1))[counted]
    bounds = [*begins.nonzero()[:, 0].tolist(), len(begins)]
    y, _ = model.hidden(tokens[counted][None], cu_seqlens=bounds)
    hidden = y.new_zeros(*tokens.shape, y.shape[-1])
    hidden[counted] = y[0]
    return hidden


def next_positions(
    tokens: Tensor, counted: Tensor | None, position_ids: Tensor | None, now: Tensor | None
) -> Tensor:
    """[B]: the position that follows the tokens [B, T] of each row, of which the first counted one has that of
    `now` [B] (None, or where it is 0: any, 0 unless `position_ids` say so).

    Raises: HmlcoreError for positions that do not go on there.
    """
    counted = torch.ones_like(tokens, dtype=torch.bool) if counted is None else counted
    now = torch.zeros_like(counted[:, 0], dtype=torch.long) if now is None else now
    if position_ids is not None:
        start = by_token("position_ids", position_ids, tokens).gather(1, counted.long().argmax(1)[:, None])[
            :, 0
        ]
        start = torch.where(counted.any(1), start, now)
        wrong = (now > 0) & (start != now)
        require(
            not wrong.any(),
            f"position_ids must go on at {now.tolist()}, where past_key_values ends, got {start.tolist()}",
        )
        now = start
    return now + counted.sum(1)
