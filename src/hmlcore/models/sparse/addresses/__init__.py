"""Addresses: in which bucket a cue is looked for, one file each, under one contract."""

from typing import Any

from hmlcore.models.sparse.addresses.base import Address
from hmlcore.models.sparse.addresses.centroids import Centroids
from hmlcore.models.sparse.addresses.dual import Dual
from hmlcore.models.sparse.addresses.either import Either
from hmlcore.models.sparse.addresses.hash import Hash
from hmlcore.models.sparse.addresses.semantic import Semantic
from hmlcore.models.sparse.addresses.tree import Tree
from hmlcore.models.sparse.named import build_named

__all__ = ["ADDRESSES", "Address", "build_address"]

_KNOWN = (Hash, Semantic, Dual, Centroids, Tree, Either)
ADDRESSES: dict[str, type[Address]] = {cls.name: cls for cls in _KNOWN}


def build_address(name: str, buckets: int, d: int, **arguments: Any) -> Address:
    """The address called `name`; an unknown name or argument is refused with the known ones."""
    return build_named("address", name, ADDRESSES, (buckets, d), arguments)
