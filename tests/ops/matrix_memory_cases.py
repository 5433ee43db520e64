"""Inputs of the ops that remember with one or two matrices a head, and everything a form returns."""

import torch

from hmlcore.ops import delta_rule, momentum_delta, retention

NAIVE = {
    "delta_rule": delta_rule.naive_delta_rule,
    "momentum_delta": momentum_delta.naive_momentum_delta,
    "retention": retention.naive_retention,
}
# Form → the op whose law it must obey.
FORMS = {
    delta_rule.chunk_delta_rule: "delta_rule",
    momentum_delta.chunk_momentum_delta: "momentum_delta",
    retention.chunk_retention: "retention",
    retention.parallel_retention: "retention",
}
CHUNKED = [form for form in FORMS if form is not retention.parallel_retention]


def draw(op, length, *, batch=2, heads=2, n=5, d=3, dtype=torch.float64, seed=0):
    """Named leaves of `op`, at small sizes with N ≠ D."""
    made = {"delta_rule": delta_rule, "momentum_delta": momentum_delta, "retention": retention}[op]
    x = made.random_inputs(batch, length, heads, n, d, dtype=dtype, seed=seed)
    return {name: t.requires_grad_() for name, t in x.items()}


def apply(form, x, *, start=True, **options):
    """Outputs and final state of `form`."""
    arguments = [t for name, t in x.items() if name != "initial_state"]
    given = x["initial_state"] if start else None
    return form(*arguments, initial_state=given, output_final_state=True, **options)


def everything(form, x, *, start=True, **options):
    """Outputs, final state and the gradient of every leaf, by name."""
    o, state = apply(form, x, start=start, **options)
    leaves = {name: t for name, t in x.items() if start or name != "initial_state"}
    return {"o": o, "state": state} | gradients(o, state, leaves)


def gradients(o, state, leaves):
    """The gradient of one scalar of `o` and `state` for every leaf, by name."""
    # Unequal weights, so that a permuted gradient shows.
    weights = (torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).view_as(y) for y in (o, state))
    loss = sum((w * y.sin()).sum() for w, y in zip(weights, (o, state), strict=True))
    grads = torch.autograd.grad(loss, list(leaves.values()))
    return {f"d{name}": g for name, g in zip(leaves, grads, strict=True)}


def convert(x, dtype):
    """The same leaves in `dtype`."""
    return {name: t.detach().to(dtype).requires_grad_() for name, t in x.items()}


def over_time(x):
    """The names of what holds one entry a token."""
    return [name for name, t in x.items() if name != "initial_state" and t.ndim >= 3]
