"""Sequences of different lengths laid end to end (``cu_seqlens``), and the padded batch they stand for."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from hmlcore.errors import require


def check_cu_seqlens(cu_seqlens: Tensor | Sequence[int], batch: int, length: int) -> list[int]:
    """The boundaries as a list, refused unless they start at 0, rise, and end at `length`.

    Args:
        cu_seqlens: [S + 1] integers, the start of each of S sequences and the end of the last. A list costs
            nothing to read; a tensor on a GPU is waited for, and a compiled graph needs a list.
        batch: the leading dimension of the packed tensors, which must be 1.
        length: their time dimension.
    Raises: HmlcoreError naming the bounds and what they must be.
    """
    if isinstance(cu_seqlens, Tensor):
        kind = cu_seqlens.dtype
        require(
            cu_seqlens.ndim == 1 and not (kind.is_floating_point or kind.is_complex or kind == torch.bool),
            f"cu_seqlens must be [S + 1] integers, got shape {tuple(cu_seqlens.shape)} of {kind}",
        )
        cu_seqlens = cu_seqlens.tolist()
    bounds = [int(b) for b in cu_seqlens]
    require(batch == 1, f"cu_seqlens needs tensors of batch 1, got batch {batch}")
    rises = all(a < b for a, b in itertools.pairwise(bounds))
    require(
        len(bounds) >= 2 and bounds[0] == 0 and bounds[-1] == length and rises,
        f"cu_seqlens must rise from 0 to {length}, got {bounds}",
    )
    return bounds


def pack(x: Tensor, lengths: Tensor | Sequence[int]) -> tuple[Tensor, list[int]]:
    """A batch padded at its right end, laid end to end without the padding, and its `cu_seqlens`.

    What a layer returns for padded sequences is right up to each one's end, since it looks at the past only;
    but its state has seen the padding. For the state at each sequence's own end, pack:

        packed, cu_seqlens = pack(x, lengths)
        y, state = layer(packed, cu_seqlens=cu_seqlens)
        y = unpack(y, cu_seqlens)                    # padded again, with zeros

    Args: x [S, L, ...];  lengths, of each of the S sequences, between 1 and L.
    Returns: [1, Σ lengths, ...] and the bounds [S + 1].
    Raises: HmlcoreError naming the lengths that do not fit.
    """
    counts = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    require(
        x.ndim >= 2 and len(counts) == len(x) and all(1 <= n <= x.shape[1] for n in counts),
        f"lengths must be one number between 1 and L for each sequence of x [S, L, ...], got {counts} "
        f"for x of shape {tuple(x.shape)}",
    )
    bounds = [0, *itertools.accumulate(counts)]
    return repack(x, bounds), bounds


def unpack(x: Tensor, bounds: list[int]) -> Tensor:
    """[1, T, ...] to [S, longest, ...], zeros after each sequence's end."""
    pieces = [x[0, a:b] for a, b in itertools.pairwise(bounds)]
    return torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True)


def repack(x: Tensor, bounds: list[int]) -> Tensor:
    """The inverse of :func:`unpack`: [S, longest, ...] to [1, T, ...]."""
    pieces = [x[i, : b - a] for i, (a, b) in enumerate(itertools.pairwise(bounds))]
    return torch.cat(pieces)[None]


def at_ends(x: Tensor, bounds: list[int] | None = None) -> Tensor:
    """What x [B, T, ...] holds at the end of each sequence: [B, ...], or [S, ...] where S are packed."""
    return own(x[:, -1]) if bounds is None else torch.stack([x[0, end - 1] for end in bounds[1:]])


def own(x: Tensor) -> Tensor:
    """A copy of x, dense: a state that were a view would keep all that computed it in memory and in files."""
    return x.clone(memory_format=torch.contiguous_format)
