"""Every op that remembers with matrices as a function of named leaves, and everything its forms return."""

import itertools
import math

import memory_cases
import torch
from memory_cases import DYNAMICS, coefficients, gradients

from hmlcore.ops import delta_rule, hamiltonian, holographic, momentum_delta, oscillator, retention

_OPS = {
    "delta_rule": delta_rule, "momentum_delta": momentum_delta, "oscillator": oscillator,
    "retention": retention,
}  # fmt: skip


def _of_leaves(form, dynamics):
    """A form of the Hamiltonian memory as a function of the leaves of `dynamics`, in their order."""

    def function(r, k, v, log_alpha, beta, *rest, **options):
        x = dict(zip(("log_alpha", "beta", "log_gamma", "h", "mu"), (log_alpha, beta, *rest), strict=False))
        return form(r, k, v, coefficients(dynamics, x), **options)

    function.__name__ = f"{form.__name__}, {dynamics}"
    return function


def _by_channel(form):
    """A form that is given a decay for each channel of the key."""

    def function(*arguments, **options):
        assert arguments[3].ndim == 4
        return form(*arguments, **options)

    function.__name__ = f"{form.__name__}, by channel"
    return function


def _bound(form, binding):
    """A form of the holographic memory with that binding."""

    def function(*arguments, **options):
        return form(*arguments, binding=binding, **options)

    function.__name__ = f"{form.__name__}, {binding}"
    return function


_BINDINGS = {f"holographic, {binding}": binding for binding in ("unitary", "convolution")}
_CHANNELS = {"delta_rule, by channel": "delta_rule", "oscillator, by channel": "oscillator"}
NAIVE = {
    **{op: getattr(module, f"naive_{op}") for op, module in _OPS.items()},
    **{name: _by_channel(getattr(_OPS[op], f"naive_{op}")) for name, op in _CHANNELS.items()},
    **{dynamics: _of_leaves(hamiltonian.naive_hamiltonian, dynamics) for dynamics in DYNAMICS},
    **{name: _bound(holographic.naive_holographic, binding) for name, binding in _BINDINGS.items()},
}
CHUNKED = {
    **{getattr(module, f"chunk_{op}"): op for op, module in _OPS.items()},
    **{_by_channel(getattr(_OPS[op], f"chunk_{op}")): name for name, op in _CHANNELS.items()},
    **{_of_leaves(hamiltonian.chunk_hamiltonian, dynamics): dynamics for dynamics in DYNAMICS},
    **{_bound(holographic.chunk_holographic, binding): name for name, binding in _BINDINGS.items()},
}
# Form → the op whose law it must obey.
FAST = CHUNKED | {retention.parallel_retention: "retention"}
FORMS = FAST | {form: op for op, form in NAIVE.items()}


def draw(op, length, *, batch=2, heads=2, n=5, d=4, **options):
    """Named leaves of `op`, at small sizes with N ≠ D."""
    if op in DYNAMICS:
        return memory_cases.draw(op, length, batch=batch, heads=heads, n=n, d=d, **options)
    options = {"dtype": torch.float64} | options
    module = holographic if op in _BINDINGS else _OPS[_CHANNELS.get(op, op)]
    x = module.random_inputs(batch, length, heads, n, d, **options)
    if op in _CHANNELS:
        g = torch.Generator().manual_seed(options.get("seed", 0))
        much = torch.rand(batch, length, heads, n, generator=g, dtype=torch.float64) ** 4
        x["log_alpha"] = (math.log(1e-3) * much).to(options["dtype"])  # α from .001 to 1
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


def convert(x, dtype):
    """The same leaves in `dtype`."""
    return {name: t.detach().to(dtype).requires_grad_() for name, t in x.items()}


def over_time(x):
    """The names of what holds one entry a token."""
    return [name for name, t in x.items() if name != "initial_state" and t.ndim >= 3]


def separately(form, bounds):
    """`form` on each of the sequences between `bounds`, laid end to end again."""

    def function(*arguments, initial_state, output_final_state):
        pieces = [
            form(
                *(t[:, a:b] if isinstance(t, torch.Tensor) and t.ndim >= 3 else t for t in arguments),
                initial_state=initial_state[i : i + 1], output_final_state=output_final_state,
            )
            for i, (a, b) in enumerate(itertools.pairwise(bounds))
        ]  # fmt: skip
        outputs, states = zip(*pieces, strict=True)
        return torch.cat(outputs, 1), torch.cat(states)

    return function
