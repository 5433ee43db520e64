"""Holographic memories: the layer, and the system that it was made from."""

from hmlcore.layers.holographic.layer import Holographic
from hmlcore.layers.holographic.legacy import HolographicLegacy

__all__ = ["Holographic", "HolographicLegacy"]
