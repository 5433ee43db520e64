"""The over-damped limit: one row, the gated delta rule."""

from typing import ClassVar

from hmlcore.layers.hml.dynamics.base import Addressed
from hmlcore.ops import hamiltonian as ops


class Delta(Addressed):
    """S ← αS, S ← S − β k(kᵀS − vᵀ): what leapfrog becomes as γ → 0."""

    rows: ClassVar = 1
    corrects: ClassVar = True
    gates: ClassVar = {"beta": -2.0, "alpha": -4.0}

    def coefficients(self, x, log_alpha, raw):
        beta = raw["beta"].sigmoid()
        return ops.delta(log_alpha, beta), {"beta": beta, "alpha": log_alpha.exp()}
