"""A pair (Q, P) moved about a token's association by one step of leapfrog or of symplectic Euler."""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from hmlcore.layers.base import no_decay
from hmlcore.layers.hml.dynamics.base import Addressed


class Stepped(Addressed):
    """A phase-space pair moved by one integrator step: leapfrog or symplectic Euler."""

    gates: ClassVar = {"beta": -2.0, "alpha": -4.0, "gamma": -2.0}

    def __init__(self, step):
        self.step = step

    def add_parameters(self, layer):
        layer.log_h = no_decay(nn.Parameter(torch.full((layer.num_heads,), math.log(layer.step_size))))
        layer.mu = no_decay(nn.Parameter(torch.zeros(layer.num_heads)))

    def coefficients(self, layer, x, log_alpha, raw):
        beta, log_gamma = raw["beta"].sigmoid(), F.logsigmoid(raw["gamma"])
        if layer.damping is not None:
            log_gamma = torch.full_like(log_gamma, math.log(layer.damping))
        h, mu = layer.log_h.to(x.dtype).exp(), layer.mu.to(x.dtype)
        named = {"beta": beta, "alpha": log_alpha.exp(), "gamma": log_gamma.exp()}
        c = self.step(log_alpha, log_gamma, beta, h, mu)
        if layer.injection == "both":  # the delta rule's write to Q beside the kick's to P
            c = c._replace(e=c.e + torch.stack((beta, torch.zeros_like(beta)), -1))
        return c, named
