"""Holographic memories: the layer, and the system that it was made from."""

from hmlcore.layers.holographic.layer import Holographic

__all__ = ["Holographic"]
