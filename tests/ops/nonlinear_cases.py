"""Inputs of the nonlinear oscillators, seeded, and everything that a form returns."""

import torch
from memory_cases import gradients

from hmlcore.ops.nonlinear import Net, random_inputs

HIDDEN = {"sep": 0, "mlp": 4}  # units of the network


def draw(potential, length, *, batch=2, heads=2, n=5, d=3, hidden=None, dtype=torch.float64, seed=0):
    """Named leaves, at small sizes with N, D and M unequal."""
    units = HIDDEN[potential] if hidden is None else hidden
    x = random_inputs(batch, length, heads, n, d, units, dtype=dtype, seed=seed)
    return {name: t.requires_grad_() for name, t in x.items()}


def apply(form, x, *, start=True, **options):
    """Outputs and final state of `form`."""
    x = dict(x)
    state = x.pop("initial_state")
    net = [Net(*(x.pop(name) for name in Net._fields))] if "push" in x else []
    options = {"initial_state": state if start else None, "output_final_state": True} | options
    return form(*x.values(), *net, **options)


def everything(form, x, *, start=True, **options):
    """Outputs, final state and the gradient of every leaf, by name."""
    o, state = apply(form, x, start=start, **options)
    leaves = {name: t for name, t in x.items() if start or name != "initial_state"}
    return {"o": o, "state": state} | gradients(o, state, leaves)
