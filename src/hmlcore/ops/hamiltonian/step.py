"""One token of the Hamiltonian memory: what decoding runs, by a kernel where there is one."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hmlcore.errors import require
from hmlcore.ops import backend, extras
from hmlcore.ops.hamiltonian.check import check_shapes
from hmlcore.ops.hamiltonian.dynamics import Coefficients, leapfrog
from hmlcore.ops.hamiltonian.naive import hamiltonian_step as naive_hamiltonian_step
from hmlcore.ops.precision import normalize, without_autocast
from hmlcore.ops.self_check import form_error

LARGEST_KEY = 256  # every program keeps all rows of its columns

__all__ = ["hamiltonian_step", "triton_hamiltonian_step", "unfit"]


def unfit(r: Tensor, k: Tensor, v: Tensor, *rest: Tensor | None) -> str | None:
    """Why the kernel cannot take these tensors, or None. The one place where gradients decide the form."""
    given = (r, k, v, *rest)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in given):
        return "it has no gradient, and one is asked for"
    if k.shape[-1] > LARGEST_KEY:
        return f"it takes keys of at most {LARGEST_KEY} channels, given {k.shape[-1]}"
    return extras.no_kernel(*given)


@without_autocast
def triton_hamiltonian_step(
    r: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, state: Tensor
) -> tuple[Tensor, Tensor]:
    """:func:`hamiltonian_step` by one kernel, without a gradient; `state` is left as it is.

    Returns: o [B, H, D] in the dtype of `v`, and the new state in fp32.
    Raises: HmlcoreError where a shape does not fit, a gradient is asked for, or a tensor is float64.
    """
    problem = unfit(r, k, v, *coefficients, state)
    require(problem is None, f"the kernel cannot run: {problem}")
    check_shapes(r, k, v, coefficients, over="B, H", state=state)
    r, k, v = (x.contiguous()[:, None] for x in (r, k, v))
    gates = [x.contiguous()[:, None] for x in coefficients.present]
    o, state = (_operator if torch.compiler.is_compiling() else _launch)(r, k, v, gates, state.contiguous())
    return o[:, 0], state


def _launch(r: Tensor, k: Tensor, v: Tensor, gates: Sequence[Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
    """The kernel; `gates` are the coefficients that there are."""
    from hmlcore.ops.hamiltonian.triton.recurrent import recurrent

    return recurrent(r, k, v, Coefficients.of(gates), state)


# What torch.compile sees of it; where nothing is compiled, a token does without the dispatcher's time.
_operator = torch.library.custom_op("hmlcore::hamiltonian_recurrent", _launch, mutates_args=())


@_operator.register_fake
def _(r, k, v, gates, state):
    return v.new_empty(v.shape), state.new_empty(state.shape, dtype=torch.float32)


def naive_form(
    r: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, state: Tensor
) -> tuple[Tensor, Tensor]:
    """:func:`naive_hamiltonian_step`, which itself checks nothing, after its refusals."""
    check_shapes(r, k, v, coefficients, over="B, H", state=state)
    return naive_hamiltonian_step(r, k, v, coefficients, state)


def hamiltonian_step(
    r: Tensor, k: Tensor, v: Tensor, coefficients: Coefficients, state: Tensor
) -> tuple[Tensor, Tensor]:
    """One token through whichever form suits the tensors and their device: the kernel, where no gradient is
    asked for, or else the law. Arguments as :func:`hmlcore.ops.hamiltonian.naive.hamiltonian_step`.

    Raises: HmlcoreError naming the argument whose shape or device does not fit.
    """
    given = (r, k, v, *coefficients, state)
    form = backend.choose("hamiltonian_step", k.device, given=given).form
    return form.function(r, k, v, coefficients, state)


def _check(form, naive, device) -> float:
    """Output and new state of [2, 3] tokens with N = D = 8, and gradients of a form that has them."""
    g = torch.Generator().manual_seed(0)
    r, k, v = (torch.randn(2, 3, 8, generator=g) for _ in range(3))
    state = torch.randn(2, 3, 2, 8, 8, generator=g)
    gates = [torch.rand(2, 3, generator=g) for _ in range(3)]
    h, mu = 0.5 + torch.rand(3, generator=g), torch.randn(3, generator=g)
    r, k = (normalize(x) for x in (r, k))
    x = leapfrog(-0.1 * gates[0], -gates[1], gates[2], h, mu).map(lambda x: x.to(device))
    tensors = [x.to(device) for x in (r, k, v, state)]
    return form_error(
        form, naive, tensors, lambda f, r, k, v, state: f(r, k, v, x, state),
        gradients=form is not triton_hamiltonian_step,
    )  # fmt: skip


backend.register(
    "hamiltonian_step",
    [
        backend.Form(
            "triton",
            triton_hamiltonian_step,
            extras.imports_on_cuda("triton", "triton"),
            "one Triton kernel, forward only",
            kernel=True,
            unfit=unfit,
        ),
        backend.Form("naive", naive_form, backend.anywhere, "the law, in torch"),
    ],
    _check,
)
