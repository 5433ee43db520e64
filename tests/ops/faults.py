"""Ways in which an output of a form is wrong."""

import math

import torch


class ScaledGradient(torch.autograd.Function):
    """The identity, with a wrong gradient."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None


FAULTS = {
    "output a thousandth too large": lambda y: y * 1.001,
    "output NaN": lambda y: y * math.nan,
    "gradient a thousandth too large": lambda y: ScaledGradient.apply(y, 1.001),
    "gradient NaN": lambda y: ScaledGradient.apply(y, math.nan),
}
