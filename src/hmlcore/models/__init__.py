"""The common backbone and the heads around it."""

from hmlcore.models.backbone import Backbone, BackboneConfig, map_state, match_parameters
from hmlcore.models.classifier import Classifier
from hmlcore.models.sparse import Sparse, SparseConfig

__all__ = [
    "Backbone",
    "BackboneConfig",
    "Classifier",
    "Sparse",
    "SparseConfig",
    "map_state",
    "match_parameters",
]
