"""Sparse memories beside models of the sizes that the source names: configurations that nothing here trains."""

from hmlcore.models.sparse.config import SparseConfig


def _sized(d_model: int, layers: int) -> SparseConfig:
    return SparseConfig(
        50_257, d_model=d_model, layers=layers, d_ff=8 * d_model // 3,
        mixer_args={"window": 1024, "num_heads": d_model // 64}, chunk=1024, buckets=512, ways=32, slot_dim=512,
        top=32, slot_dtype="bf16",
    )  # fmt: skip


SIZES = {"1B": _sized(2048, 18), "3B": _sized(3072, 25)}
"""Parameters → configuration: 16,384 slots of 512 in bf16, windows and chunks of 1,024, as in the source."""
