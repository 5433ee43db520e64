"""What determines a backbone with a sparse memory beside it."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hmlcore.checks import (
    LARGEST,
    check_arguments,
    check_choice,
    check_fields,
    check_int,
    check_number,
    check_optional,
    check_positive,
    check_seed,
    check_text,
)
from hmlcore.errors import require
from hmlcore.layers.window_attention import WINDOW
from hmlcore.models.backbone import BackboneConfig

if TYPE_CHECKING:
    from hmlcore.models.sparse.model import Sparse

EVICTIONS = ("value", "oldest", "random")
SLOT_DTYPES = ("fp32", "bf16")


@dataclass(frozen=True)
class SparseConfig(BackboneConfig):
    """A :class:`BackboneConfig` and the memory of its last block.

    Attributes:
        chunk: tokens U after which the memory is written, at places that are multiples of it.
        buckets, ways: slots are buckets × ways, for each sequence.
        slot_dim: width of a key and of a value.
        gate, gate_args: who decides what is written (:mod:`hmlcore.models.sparse.gates`).
        density: the share of tokens that may be written, held by moving the gate's threshold; None: the gate's
            own threshold.
        address, address_args: in which buckets (:mod:`hmlcore.models.sparse.addresses`).
        evict: what is driven out: "value", the least of surprise, recency and novelty together; "oldest";
            "random".
        top, tau: how many slots a read weighs, and the temperature of their cosines.
        merge: the cosine above which a key is the same key.
        contrast: weight of the InfoNCE that draws keys together which were followed by the same id.
        slot_dtype: "fp32" or "bf16", of keys and values.
        seed: of what looks random in the memory.
    Raises: HmlcoreError for a value out of its range, or a window of attention that chunk does not divide, and
        does not divide chunk; `build` refuses what gate and address do not allow, such as more in `top` than
        slots are read.
    """

    mixer: str = "window_attention"
    chunk: int = 64
    buckets: int = 64
    ways: int = 8
    slot_dim: int = 64
    gate: str = "surprisal"
    gate_args: dict[str, Any] = field(default_factory=dict)
    density: float | None = 0.12
    address: str = "hash"
    address_args: dict[str, Any] = field(default_factory=dict)
    evict: str = "value"
    top: int = 8
    tau: float = 0.1
    merge: float = 0.9
    contrast: float = 0.0
    slot_dtype: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = dict.fromkeys(("chunk", "buckets", "ways", "slot_dim", "top"), (check_int,))
        words = dict.fromkeys(("gate", "address"), (check_text,))
        given = dict.fromkeys(("gate_args", "address_args"), (check_arguments,))
        check_fields(
            self, **whole, **words, **given, density=(check_optional, _check_density),
            tau=(check_positive, 100.0), evict=(check_choice, EVICTIONS), merge=(check_number, -1, 1),
            contrast=(check_number, 0), slot_dtype=(check_choice, SLOT_DTYPES), seed=(check_seed,),
        )  # fmt: skip
        sizes = self.buckets, self.ways, self.slot_dim
        require(
            math.prod(sizes) <= LARGEST,
            f"buckets · ways · slot_dim must be at most {LARGEST}, got {' · '.join(map(str, sizes))}",
        )
        window = self.mixer_args.get("window", WINDOW)
        divides = (
            isinstance(window, int) and window > 0 and (window % self.chunk == 0 or self.chunk % window == 0)
        )
        require(
            self.mixer != "window_attention" or divides,
            f"chunk must divide the window of attention or be a multiple of it, got chunk = {self.chunk} and "
            f"window = {window}",
        )

    def build(self) -> "Sparse":
        from hmlcore.models.sparse.model import Sparse

        return Sparse(self)


def _check_density(name: str, value: object) -> float:
    number = check_positive(name, value)
    require(number < 1, f"{name} must be above 0 and below 1, got {number}")
    return number
