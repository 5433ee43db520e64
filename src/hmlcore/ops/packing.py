"""Sequences of different lengths laid end to end (``cu_seqlens``), and the padded batch they stand for."""

import itertools

import torch
from torch import Tensor

from hmlcore.errors import require


def check_cu_seqlens(cu_seqlens: Tensor, batch: int, length: int) -> list[int]:
    """The boundaries as a list, refused unless they start at 0, rise, and end at `length`.

    Args:
        cu_seqlens: [S + 1] integers, the start of each of S sequences and the end of the last.
        batch: the leading dimension of the packed tensors, which must be 1.
        length: their time dimension.
    """
    bounds = [int(b) for b in cu_seqlens]
    require(batch == 1, f"cu_seqlens needs tensors of batch 1, got batch {batch}")
    rises = all(a < b for a, b in itertools.pairwise(bounds))
    require(
        len(bounds) >= 2 and bounds[0] == 0 and bounds[-1] == length and rises,
        f"cu_seqlens must rise from 0 to {length}, got {bounds}",
    )
    return bounds


def unpack(x: Tensor, bounds: list[int]) -> Tensor:
    """[1, T, ...] to [S, longest, ...], zeros after each sequence's end."""
    pieces = [x[0, a:b] for a, b in itertools.pairwise(bounds)]
    return torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True)


def repack(x: Tensor, bounds: list[int]) -> Tensor:
    """The inverse of :func:`unpack`: [S, longest, ...] to [1, T, ...]."""
    pieces = [x[i, : b - a] for i, (a, b) in enumerate(itertools.pairwise(bounds))]
    return torch.cat(pieces)[None]
