"""Maths and kernels: tensors in, tensors out. Importing the package registers every op's forms."""

from hmlcore.ops import attention, gru, hamiltonian, short_conv

__all__ = ["attention", "gru", "hamiltonian", "short_conv"]
