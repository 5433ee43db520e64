"""The common backbone and the heads around it."""

from hmlcore.models.backbone import Backbone, BackboneConfig, map_state, match_parameters
from hmlcore.models.classifier import Classifier
from hmlcore.models.memorizing import Memorizing, MemorizingConfig
from hmlcore.models.recurrent_memory import RecurrentMemory, RecurrentMemoryConfig
from hmlcore.models.sparse import Sparse, SparseConfig

__all__ = [
    "Backbone",
    "BackboneConfig",
    "Classifier",
    "Memorizing",
    "MemorizingConfig",
    "RecurrentMemory",
    "RecurrentMemoryConfig",
    "Sparse",
    "SparseConfig",
    "map_state",
    "match_parameters",
]
