"""The common backbone and the heads around it."""

from hmlcore.models.backbone import Backbone, BackboneConfig, map_state, match_parameters
from hmlcore.models.classifier import Classifier

__all__ = ["Backbone", "BackboneConfig", "Classifier", "map_state", "match_parameters"]
