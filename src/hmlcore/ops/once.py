"""Gradients that have no gradient themselves: refused, where torch would take them for constants.

``once_differentiable`` does not do that: it guards copies that lead nowhere, so that a second derivative is
that of the rest of the graph, and wrong without a word.
"""

import functools
from collections.abc import Callable
from typing import TypeVarTuple

import torch
from torch import Tensor

from hmlcore.errors import HmlcoreError

Tensors = TypeVarTuple("Tensors")


def refusal(name: str, law: str) -> Callable:
    """The backward pass of the gradient of `name`, which has none; `law` is the form that has one."""

    def refuse(ctx, *_):
        raise HmlcoreError(
            f"{name} can be differentiated once only; for a gradient of its gradient use {law} "
            "(HMLCORE_BACKEND=naive)"
        )

    return refuse


def _views(tensors):
    """What torch takes as outputs: no inputs themselves."""
    return tuple(None if x is None else x.view_as(x) for x in tensors)


class _Refused(torch.autograd.Function):
    """The first `count` of tensors, depending on all of them; refused if differentiated."""

    @staticmethod
    def forward(ctx, names, count, *tensors):
        ctx.names = names
        return _views(tensors[:count])

    @staticmethod
    def backward(ctx, *_):
        refusal(*ctx.names)(ctx)


def only_once(name: str, law: str) -> Callable:
    """For the backward pass of an autograd Function that saves all its operands: its gradient is refused."""

    def decorate(backward: Callable) -> Callable:
        @functools.wraps(backward)
        def guarded(ctx, *grads):
            with torch.no_grad():
                found = backward(ctx, *grads)
            if not torch.is_grad_enabled() or torch.compiler.is_compiling():  # without create_graph
                return found
            return _Refused.apply((name, law), len(found), *found, *ctx.saved_tensors, *grads)

        return guarded

    return decorate


class _Once(torch.autograd.Function):
    """Tensors as they are, whose gradients depend on them as well as on what comes from above."""

    @staticmethod
    def forward(ctx, names, *tensors):
        ctx.names = names
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        return _views(tensors)

    @staticmethod
    def backward(ctx, *grads):
        if torch.is_grad_enabled():  # create_graph
            grads = _Refused.apply(ctx.names, len(grads), *grads, *ctx.saved_tensors)
        return None, *grads


def once(name: str, law: str, *tensors: *Tensors) -> tuple[*Tensors]:
    """`tensors`, or None among them, to be given to code of others whose gradient cannot be differentiated:
    that is refused with an HmlcoreError, whatever path of the graph asks, in the words of :func:`refusal`."""
    needed = torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in tensors)
    # A compiled graph is differentiated once only and says so itself; torch.func takes no such node.
    bare = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    return _Once.apply((name, law), *tensors) if needed and not bare else tensors
