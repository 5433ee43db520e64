"""The memory as operators of torch: compiled in one piece, refused and differentiated as without a compiler.

Run as a program with TRITON_INTERPRET=1, this file checks the operator of the kernels and prints what it found.
"""

import json

import pytest
import torch
from kernel_programs import as_a_program
from memory_cases import DYNAMICS, apply, assert_close, coefficients, draw, errors, everything

from hmlcore.errors import HmlcoreError
from hmlcore.ops.hamiltonian import chunk_hamiltonian, hamiltonian, naive_hamiltonian, triton_hamiltonian

every_dynamics = pytest.mark.parametrize("dynamics", DYNAMICS)
PROBLEM = r"log_alpha must be at most 0 \(alpha in \[0, 1\]\), got 0\.5"


def arguments(dynamics, x, size=16, keep=True):
    """What the operator takes, every tensor a leaf."""
    gates = [y.detach().requires_grad_() for y in coefficients(dynamics, x) if y is not None]
    return x["r"], x["k"], x["v"], x["initial_state"], gates, size, keep, False


def backward_arguments(operator, dynamics, x, operands):
    """What the operator of the gradient takes, after a pass forward."""
    r, k, v, state, gates, size, *_ = arguments(dynamics, x)
    with torch.no_grad():
        o, last, kept = operator(r, k, v, state, gates, size, True, False)
    held = [y.detach() for y in (r, k, v)[:operands]]
    return held, [y.detach() for y in gates], kept, torch.ones_like(o), torch.ones_like(last), size


def is_registered_well(name, dynamics, x, operands=3):
    """torch's own checks of an operator and of its gradient: schema, shapes, autograd, tracing."""
    operator, gradient = (getattr(torch.ops.hmlcore, f"{name}{end}").default for end in ("", "_backward"))
    found = torch.library.opcheck(operator, arguments(dynamics, x))
    given = backward_arguments(operator, dynamics, x, operands)
    of_gradient = torch.library.opcheck(gradient, given)
    return found | {f"{check} of gradient": status for check, status in of_gradient.items()}


# To an operator, dynamics of two rows are alike.
@pytest.mark.parametrize(("dynamics", "length"), [("leapfrog", 37), ("delta", 16)])
def test_the_operator_is_registered_well(dynamics, length):
    found = is_registered_well("hamiltonian_chunk", dynamics, draw(dynamics, length, seed=length))
    assert len(found) >= 5 and set(found.values()) == {"SUCCESS"}


def compiled(function):
    torch.compiler.reset()
    return torch.compile(function, fullgraph=True, backend="aot_eager")


@pytest.mark.parametrize("dynamics", ["leapfrog", "delta"])
def test_the_op_compiles_in_one_piece(dynamics):
    """fullgraph=True raises at a break; another length is another shape, not another result."""
    form = compiled(hamiltonian)
    for length in (50, 33):
        x = draw(dynamics, length, seed=length)
        found, wanted = (everything(f, dynamics, x) for f in (form, hamiltonian))
        assert_close(found, wanted, 1e-14)


def test_packed_sequences_compile_in_one_piece():
    x = draw("leapfrog", 40, batch=1)
    x["initial_state"] = draw("leapfrog", 1, batch=2, seed=1)["initial_state"]
    options = {"cu_seqlens": [0, 13, 40]}
    found, wanted = (everything(f, "leapfrog", x, **options) for f in (compiled(hamiltonian), hamiltonian))
    assert_close(found, wanted, 1e-14)


@pytest.mark.parametrize("form", [hamiltonian, compiled(hamiltonian)], ids=["eager", "compiled"])
def test_a_gate_out_of_range_is_refused_compiled_or_not(form):
    x = {name: t.detach() for name, t in draw("delta", 20).items()}
    apply(form, "delta", x)
    x["log_alpha"][1, 3, 0] = 0.5
    with pytest.raises(HmlcoreError, match=PROBLEM):
        apply(form, "delta", x)


def test_a_second_derivative_is_refused():
    x = draw("leapfrog", 6, batch=1)
    o, _ = apply(chunk_hamiltonian, "leapfrog", x)
    (first,) = torch.autograd.grad(o.square().sum(), x["k"], create_graph=True)
    with pytest.raises(HmlcoreError, match=r"hamiltonian_chunk can be differentiated once only; .*naive"):
        first.sum().backward()


@every_dynamics
@pytest.mark.parametrize("which", [0, 1], ids=["outputs", "state"])
def test_one_of_the_two_results_may_go_unused(dynamics, which):
    x = draw(dynamics, 20)
    found, wanted = (
        torch.autograd.grad(apply(form, dynamics, x)[which].sin().sum(), list(x.values()), allow_unused=True)
        for form in (chunk_hamiltonian, naive_hamiltonian)
    )
    for name, a, b in zip(x, found, wanted, strict=True):
        # Where the law's graph does not reach, the operator's gradient is zero.
        assert_close({name: a}, {name: torch.zeros_like(a) if b is None else b}, 1e-12)


@every_dynamics
def test_autocast_around_the_gradient_does_not_narrow_it(dynamics):
    x = {name: t.detach().float().requires_grad_() for name, t in draw(dynamics, 40).items()}

    def gradients():
        o, state = apply(chunk_hamiltonian, dynamics, x)
        return dict(zip(x, torch.autograd.grad(o.sum() + state.sum(), list(x.values())), strict=True))

    with torch.autocast("cpu", torch.bfloat16):
        found = gradients()
    wanted = gradients()
    assert all(torch.equal(found[name], wanted[name]) for name in x)


@every_dynamics
def test_what_is_kept_for_the_gradient(dynamics):
    """T, Z and the states, beside the arguments: for each token and head C + D + pND/C numbers, and one state.
    Where no gradient is asked for, nothing."""
    batch, length, heads, n, d, size = 2, 64, 2, 5, 3, 16
    x = draw(dynamics, length, batch=batch, heads=heads, n=n, d=d)
    *given, size, _, _ = arguments(dynamics, x, size)
    with torch.no_grad():
        op = torch.ops.hmlcore.hamiltonian_chunk
        (o, last, kept), (same, state, nothing) = (op(*given, size, keep, False) for keep in (True, False))
    rows = x["initial_state"].shape[2]
    state_floats = batch * heads * rows * n * d
    expected = batch * length * heads * (size + d) + (length // size + 1) * state_floats
    assert sum(t.numel() for t in kept) == expected and nothing == []
    assert torch.equal(o, same) and torch.equal(last, state)

    held = {}
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.setdefault(id(t), t), lambda t: t):
        apply(chunk_hamiltonian, dynamics, x, chunk_size=size)
    own = {t.data_ptr() for t in x.values()}
    sizes = {t.data_ptr(): t.numel() for t in held.values() if t.data_ptr() not in own}
    gates = sum(t.numel() for t in given[4])
    # The coefficients and what makes them of the gates come on top: a few numbers a token and head.
    assert expected <= sum(sizes.values()) <= expected + 3 * gates


# The kernels' operator, in Triton's interpreter.


def interpret():
    assert torch.empty(1).device.type == "cpu"
    for dynamics in DYNAMICS:
        x = {name: t.detach().float().requires_grad_() for name, t in draw(dynamics, 21, batch=1).items()}
        found = is_registered_well("hamiltonian_kernels", dynamics, x, operands=2)
        print(json.dumps([f"{dynamics}, registered", found]), flush=True)
        form = compiled(triton_hamiltonian)
        gaps = errors(everything(form, dynamics, x), everything(triton_hamiltonian, dynamics, x))
        print(json.dumps([f"{dynamics}, compiled", gaps]), flush=True)


@every_dynamics
def test_the_kernels_operator_is_registered_well(dynamics):
    found, failure = as_a_program(__file__, TRITON_INTERPRET="1")
    assert f"{dynamics}, registered" in found, failure
    statuses = found[f"{dynamics}, registered"]
    assert len(statuses) >= 5 and set(statuses.values()) == {"SUCCESS"}


@every_dynamics
def test_the_kernels_compile_in_one_piece(dynamics):
    found, failure = as_a_program(__file__, TRITON_INTERPRET="1")
    assert f"{dynamics}, compiled" in found, failure
    assert max(found[f"{dynamics}, compiled"].values()) < 1e-6


if __name__ == "__main__":
    interpret()
