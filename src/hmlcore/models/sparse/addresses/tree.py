"""By direction in two steps (hierarchy): first a branch, then a bucket of it."""

import math

import torch
from torch import Tensor

from hmlcore.checks import check_int
from hmlcore.errors import require
from hmlcore.models.sparse.addresses.semantic import Semantic
from hmlcore.ops.precision import normalize


class Tree(Semantic):
    """Of R branches, each a fixed random direction, the `top` nearest; of each the nearest of N / R buckets.

    Written to the bucket of the nearest branch. A token meets R + top · N / R directions, not all N.
    Args: branches, R, which divides N; None, the divisor of N next to √N from below. top, branches read from.
    """

    name = "tree"
    trunks: Tensor

    def __init__(self, buckets: int, d: int, branches: int | None = None, top: int = 2):
        super().__init__(buckets, d)
        if branches is None:
            branches = next(r for r in range(math.isqrt(buckets), 0, -1) if buckets % r == 0)
        self.branches = check_int("branches", branches)
        require(
            buckets % self.branches == 0,
            f"branches must divide the {buckets} buckets for address 'tree', got {self.branches}",
        )
        self.read_lanes = check_int("top", top)
        require(self.read_lanes <= buckets, f"top must be at most the {buckets} buckets, got {top}")
        self.wide = min(self.read_lanes, self.branches)
        self.register_buffer("trunks", normalize(torch.randn(self.branches, d)))

    def read(self, keys: Tensor, ids: Tensor) -> Tensor:
        keys = keys.detach().to(self.codes.dtype)
        branch = (keys @ self.trunks.T).topk(self.wide, dim=-1)[1]
        size = self.buckets // self.branches
        leaves = self.codes.unflatten(0, (self.branches, size))[branch]
        leaf = torch.einsum("bud,bukld->bukl", keys, leaves).argmax(-1)
        found = branch * size + leaf
        # Where there are fewer branches than lanes, the nearest is named again, which a read counts once.
        return torch.cat((found, found[..., :1].expand(*found.shape[:2], self.read_lanes - self.wide)), -1)
