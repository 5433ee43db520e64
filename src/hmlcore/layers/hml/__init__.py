"""The Hamiltonian Memory Layer: the layer, what a token does to its memory, and what it records and refuses."""

from hmlcore.layers.hml.layer import DYNAMICS, FAMILY, HML, HMLState

__all__ = ["DYNAMICS", "FAMILY", "HML", "HMLState"]
