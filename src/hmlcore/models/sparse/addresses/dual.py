"""Two lanes (V28): half of the buckets by hash of the id, half by direction; written to and read from both."""

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.models.sparse.addresses.base import Address
from hmlcore.models.sparse.addresses.hash import Hash
from hmlcore.models.sparse.addresses.semantic import Semantic


class Dual(Address):
    """Buckets 0 … N/2 − 1 by hash, the others by direction."""

    name = "dual"
    read_lanes = write_lanes = 2

    def __init__(self, buckets: int, d: int):
        require(buckets % 2 == 0, f"buckets must be even for address 'dual', got {buckets}")
        super().__init__(buckets, d)
        self.by_id, self.by_key = Hash(buckets // 2, d), Semantic(buckets // 2, d)

    def read(self, keys: Tensor, ids: Tensor) -> Tensor:
        return torch.cat((self.by_id.read(keys, ids), self.buckets // 2 + self.by_key.read(keys, ids)), -1)
