"""By hash of the observed id: whatever followed an id is where that id points to."""

from torch import Tensor

from hmlcore.models.sparse.addresses.base import Address
from hmlcore.ops.hashing import mixed


class Hash(Address):
    """bucket = hash(id) mod N, of the last id of the cue."""

    name = "hash"

    def read(self, keys: Tensor, ids: Tensor) -> Tensor:
        return (mixed(ids.long()) % self.buckets)[..., None]
