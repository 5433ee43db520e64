"""Every faster form of the Hamiltonian memory against the law, token by token."""

import pytest
import torch
from memory_cases import DYNAMICS, apply, assert_close, coefficients, draw, everything

from hmlcore.errors import HmlcoreError
from hmlcore.ops.hamiltonian import chunk_hamiltonian, hamiltonian, leapfrog, naive_hamiltonian

both_forms = pytest.mark.parametrize("form", [naive_hamiltonian, chunk_hamiltonian])
every_dynamics = pytest.mark.parametrize("dynamics", DYNAMICS)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def convert(x, dtype):
    return {name: t.detach().to(dtype).requires_grad_() for name, t in x.items()}


@pytest.mark.parametrize("dynamics", ["leapfrog", "euler"])
def test_strong_friction_costs_no_accuracy(dynamics):
    x = draw(dynamics, 96, seed=2, gamma=1e-4)
    law = everything(naive_hamiltonian, dynamics, x)
    for dtype, tolerance in TOLERANCE.items():
        assert_close(everything(chunk_hamiltonian, dynamics, convert(x, dtype)), law, tolerance)


@every_dynamics
def test_gates_shut_completely_leave_everything_finite(dynamics):
    x = draw(dynamics, 40, seed=3)
    shut = {"log_alpha": -torch.inf, "log_gamma": -torch.inf}
    with torch.no_grad():
        for name in shut.keys() & x.keys():
            x[name][:, 7] = shut[name]
    found = everything(chunk_hamiltonian, dynamics, x, chunk_size=16)
    assert all(t.isfinite().all() for t in found.values())
    assert_close(found, everything(naive_hamiltonian, dynamics, x), 1e-12)


@both_forms
def test_a_narrow_initial_state_does_not_narrow_the_rest(form):
    x = draw("leapfrog", 20, seed=11)
    narrow = x["initial_state"].detach().float()
    o, state = apply(form, "leapfrog", x | {"initial_state": narrow})
    law = apply(naive_hamiltonian, "leapfrog", x | {"initial_state": narrow.double()})
    assert o.dtype == state.dtype == torch.float64
    assert_close({"o": o, "state": state}, {"o": law[0], "state": law[1]}, 1e-13)


@both_forms
def test_output_keeps_the_values_dtype(form):
    for dtype in (torch.float32, torch.float64):
        o, state = apply(form, "leapfrog", draw("leapfrog", 3, dtype=dtype))
        assert o.dtype == state.dtype == dtype
    assert form(*(torch.ones(1, 2, 1, 2),) * 3, one_coefficient((1, 2, 1)))[1] is None


def one_coefficient(shape):
    gate = torch.full(shape, -0.1)
    return leapfrog(gate, gate, torch.ones(shape), torch.ones(shape[-1]), torch.zeros(shape[-1]))


def test_the_op_dispatches_to_chunk():
    x = draw("leapfrog", 20)
    got, want = (everything(form, "leapfrog", x) for form in (hamiltonian, chunk_hamiltonian))
    assert all(torch.equal(got[name], want[name]) for name in want)


B, T, H, N, D = 2, 6, 3, 4, 5
WRONG = {
    "k of three dimensions": ({"k": (B, T, N)}, {}, r"k must be \[B, T, H, N\].*\(2, 6, 4\)"),
    "no token": ({"k": (B, 0, H, N)}, {}, "k has T = 0 tokens"),
    "r of another size": ({"r": (B, T, H, N + 1)}, {}, r"r must have k's shape.*\(2, 6, 3, 5\)"),
    "v of another length": ({"v": (B, T + 1, H, D)}, {}, r"v must be \[B, T, H, D\].*\(2, 7, 3, 5\)"),
    "gate of another length": ({"gate": (B, T + 2, H)}, {}, r"coefficients\.log_alpha.*\(2, 8, 3\)"),
    "state of another size": ({}, {"initial_state": (B, H, 2, N, D + 1)}, r"initial_state.*\(2, 3, 2, 4, 6\)"),
    "state without rows": ({}, {"initial_state": (B, H, N, D)}, r"initial_state must have shape"),
    "packing a batch": ({}, {"cu_seqlens": [0, T]}, "cu_seqlens needs tensors of batch 1, got batch 2"),
}  # fmt: skip


@both_forms
@pytest.mark.parametrize("case", WRONG)
def test_wrong_shapes_are_refused(form, case):
    changed, options, message = WRONG[case]
    shapes = {"r": (B, T, H, N), "k": (B, T, H, N), "v": (B, T, H, D), "gate": (B, T, H)} | changed
    if "initial_state" in options:
        options = {"initial_state": torch.zeros(options["initial_state"])}
    elif options:
        options = {"cu_seqlens": torch.tensor(options["cu_seqlens"])}
    r, k, v = (torch.zeros(shapes[name]) for name in "rkv")
    with pytest.raises(HmlcoreError, match=message):
        form(r, k, v, one_coefficient(shapes["gate"]), **options)


@both_forms
@pytest.mark.parametrize("bounds", [[0, 3], [1, 6], [0, 4, 2, 6], [0, 0, 6], [6], []])
def test_packing_bounds_are_refused(form, bounds):
    x = torch.zeros(1, 6, 1, 2)
    with pytest.raises(HmlcoreError, match=r"cu_seqlens must rise from 0 to 6, got \["):
        form(x, x, x, one_coefficient((1, 6, 1)), cu_seqlens=torch.tensor(bounds, dtype=torch.int64))


@both_forms
@pytest.mark.parametrize(
    ("which", "shape"), [("r", (1, 8, 1, 2)), ("v", (1, 8, 1, 2)), ("initial_state", (3, 1, 2, 2, 2))]
)
def test_packed_shapes_are_refused(form, which, shape):
    tensors = {name: torch.zeros(1, 6, 1, 2) for name in "rkv"} | {"initial_state": torch.zeros(2, 1, 2, 2, 2)}
    tensors[which] = torch.zeros(shape)
    with pytest.raises(HmlcoreError, match=rf"{which} must "):
        form(coefficients=one_coefficient((1, 6, 1)), cu_seqlens=torch.tensor([0, 2, 6]), **tensors)


@pytest.mark.parametrize("size", [0, -3])
def test_a_chunk_holds_at_least_one_token(size):
    x = torch.zeros(1, 2, 1, 2)
    with pytest.raises(HmlcoreError, match=f"chunk_size must be at least 1, got {size}"):
        chunk_hamiltonian(x, x, x, one_coefficient((1, 2, 1)), chunk_size=size)


def test_friction_may_be_absent_from_one_row_only():
    x = torch.zeros(1, 2, 1, 2)
    halved = coefficients("leapfrog", draw("leapfrog", 2, batch=1, heads=1))._replace(log_gamma=None)
    with pytest.raises(HmlcoreError, match=r"coefficients\.log_gamma is None"):
        naive_hamiltonian(x, x, x, halved)
