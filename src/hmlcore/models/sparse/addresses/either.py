"""By two hashes of the observed id, of which the emptier bucket is taken: slots go to where there is need."""

import torch
from torch import Tensor

from hmlcore.models.sparse.addresses.base import Address
from hmlcore.ops.hashing import mixed


class Either(Address):
    """Dynamic allocation: read from hash₁(id) mod N and hash₂(id) mod N, written to one of them, the one that
    holds the cue already, else the one with more empty slots, else the first.

    With two choices the fullest of N buckets has some log log N more than the mean, not log N / log log N.
    Source: Azar et al., Balanced Allocations (SIAM J. Comput. 29, 1999).
    """

    name = "either"
    read_lanes = write_lanes = 2
    one_of = True

    def read(self, keys: Tensor, ids: Tensor) -> Tensor:
        ids = ids.long()
        return torch.stack((mixed(ids), mixed(1, ids)), -1) % self.buckets
