"""The over-damped limit: one row, the gated delta rule."""

from typing import ClassVar

from hmlcore.layers.hml.dynamics.base import Addressed
from hmlcore.ops import hamiltonian as stepped


class Delta(Addressed):
    """One row, the over-damped limit: the gated delta rule."""

    rows: ClassVar = 1
    gates: ClassVar = {"beta": -2.0, "alpha": -4.0}

    def coefficients(self, layer, x, log_alpha, raw):
        beta = raw["beta"].sigmoid()
        return stepped.delta(log_alpha, beta), {"beta": beta, "alpha": log_alpha.exp()}
