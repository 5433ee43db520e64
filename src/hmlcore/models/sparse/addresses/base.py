"""The contract of an address: into which buckets a token goes, and where its successor is looked for."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from hmlcore.errors import require


class Address(nn.Module, ABC):
    """Buckets of a cue: of the key [B, U, d] that stands for it and its last id [B, U].

    A slot holds what came after a cue, and it is found by the cue again: what is asked for has no part in it.
    Attributes: read_lanes, write_lanes, how many buckets are looked into, and how many written to; one_of,
        whether only one of the write lanes is written to, by what its slots hold.
    """

    name: ClassVar[str]
    read_lanes: int = 1
    write_lanes: int = 1
    one_of: ClassVar[bool] = False

    @property
    def copies(self) -> int:
        """How many slots a token may take."""
        return 1 if self.one_of else self.write_lanes

    def __init__(self, buckets: int, d: int):
        super().__init__()
        self.buckets, self.d = buckets, d

    @abstractmethod
    def read(self, keys: Tensor, ids: Tensor) -> Tensor:
        """[B, U, read_lanes]."""

    def write(self, keys: Tensor, ids: Tensor) -> Tensor:
        """[B, U, write_lanes]; the first of those that are read, unless said otherwise."""
        return self.read(keys, ids)[..., : self.write_lanes]

    def learn(self, keys: Tensor) -> None:
        """Told the keys [n, d] of a training batch."""


def check_codebook(codes: Tensor, buckets: int, d: int) -> Tensor:
    """Refuse a codebook of another size."""
    require(
        tuple(codes.shape) == (buckets, d),
        f"codebook must be [buckets, slot_dim] = [{buckets}, {d}], got {tuple(codes.shape)}",
    )
    return codes
