"""A sparse memory beside a window of attention: slots that few tokens are written to, and every token reads."""

from hmlcore.models.sparse.config import SparseConfig
from hmlcore.models.sparse.model import Sparse
from hmlcore.models.sparse.state import SparseState

__all__ = ["Sparse", "SparseConfig", "SparseState"]
