"""Every faster form of the Hamiltonian memory against the law, token by token."""

import itertools

import pytest
import torch
from memory_cases import DYNAMICS, apply, assert_close, coefficients, draw, everything

from hmlcore.errors import HmlcoreError
from hmlcore.ops.hamiltonian import chunk_hamiltonian, hamiltonian, leapfrog, naive_hamiltonian
from hmlcore.ops.packing import repack, unpack

both_forms = pytest.mark.parametrize("form", [naive_hamiltonian, chunk_hamiltonian])
every_dynamics = pytest.mark.parametrize("dynamics", DYNAMICS)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


def convert(x, dtype):
    return {name: t.detach().to(dtype).requires_grad_() for name, t in x.items()}


@every_dynamics
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 100])
def test_chunk_is_naive_whatever_the_length(dynamics, length):
    x = draw(dynamics, length, seed=length)
    for start in (True, False):
        law = everything(naive_hamiltonian, dynamics, x, start=start)
        for dtype, tolerance in TOLERANCE.items():
            found = everything(chunk_hamiltonian, dynamics, convert(x, dtype), start=start, chunk_size=32)
            assert_close(found, law, tolerance)


@every_dynamics
@pytest.mark.parametrize("size", [1, 5, 16, 32, 64, None])
def test_chunk_is_naive_whatever_the_chunk(dynamics, size):
    x = draw(dynamics, 70, seed=1)
    law = everything(naive_hamiltonian, dynamics, x)
    for dtype, tolerance in TOLERANCE.items():
        found = everything(chunk_hamiltonian, dynamics, convert(x, dtype), chunk_size=size)
        assert_close(found, law, tolerance)


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
@every_dynamics
def test_two_halves_are_the_whole(form, dynamics):
    x = draw(dynamics, 51, seed=4)
    whole, last = apply(form, dynamics, x)

    def part(where, state):
        piece = {name: t[:, where] if t.ndim >= 3 and t.shape[1] == 51 else t for name, t in x.items()}
        return apply(form, dynamics, piece | {"initial_state": state})

    first, middle = part(slice(0, 20), x["initial_state"])
    second, end = part(slice(20, None), middle)
    assert_close({"o": torch.cat((first, second), 1), "state": end}, {"o": whole, "state": last}, 1e-13)


BOUNDS = [0, 1, 30, 64, 70]


def packed(dynamics, seed=5, dtype=torch.float64):
    x = draw(dynamics, BOUNDS[-1], batch=1, seed=seed, dtype=dtype)
    starts = draw(dynamics, 1, batch=len(BOUNDS) - 1, seed=seed + 1, dtype=dtype)["initial_state"]
    return x | {"initial_state": starts}


@both_forms
@every_dynamics
def test_packed_sequences_are_separate_sequences(form, dynamics):
    x = packed(dynamics)
    found = everything(form, dynamics, x, cu_seqlens=torch.tensor(BOUNDS))

    def separate(r, k, v, c, initial_state, output_final_state):
        pieces = [
            naive_hamiltonian(
                r[:, a:b], k[:, a:b], v[:, a:b], c.map(lambda t, a=a, b=b: t[:, a:b]),
                initial_state[i : i + 1], output_final_state,
            )
            for i, (a, b) in enumerate(itertools.pairwise(BOUNDS))
        ]  # fmt: skip
        outputs, states = zip(*pieces, strict=True)
        return torch.cat(outputs, 1), torch.cat(states)

    assert_close(found, everything(separate, dynamics, x), 1e-12)


@both_forms
@every_dynamics
def test_no_packed_sequence_sees_another(form, dynamics):
    x = packed(dynamics)
    o, _ = apply(form, dynamics, x, cu_seqlens=torch.tensor(BOUNDS))
    over_time = [name for name in x if name not in ("h", "mu", "initial_state")]
    grads = torch.autograd.grad(o[:, 30:64].sin().sum(), [x[name] for name in over_time])
    for name, g in zip(over_time, grads, strict=True):
        outside = torch.cat((g[:, :30], g[:, 64:]), 1)
        assert outside.count_nonzero() == 0, f"d{name} leaks"
        assert g[:, 30:64].count_nonzero() > 0


def test_unpack_and_repack_are_inverse():
    x = torch.arange(14.0).view(1, 7, 2)
    padded = unpack(x, [0, 3, 7])
    assert padded.shape == (2, 4, 2) and padded[0, 3].count_nonzero() == 0
    assert torch.equal(repack(padded, [0, 3, 7]), x)


@both_forms
@every_dynamics
def test_strides_do_not_matter(form, dynamics):
    x = draw(dynamics, 33, seed=6)

    def strange(t):
        """The same values, last dimension first in memory, every second element unused."""
        if t.ndim < 3:
            return t
        wide = torch.stack((t, torch.full_like(t, torch.nan)), -1)[..., 0]
        return wide.transpose(1, 2).contiguous().transpose(1, 2) if t.ndim == 3 else wide

    y = {name: strange(t.detach()).requires_grad_() for name, t in x.items()}
    assert not y["k"].is_contiguous() and not y["beta"].is_contiguous()
    assert_close(everything(form, dynamics, y), everything(form, dynamics, x), 1e-14)


@pytest.fixture
def poisoned():
    """Memory that is allocated and not written holds NaN."""
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.utils.deterministic.fill_uninitialized_memory = before[1]


@every_dynamics
def test_nothing_uninitialised_is_read(dynamics, poisoned):
    x = draw(dynamics, 37, seed=7)
    assert_close(
        everything(chunk_hamiltonian, dynamics, x, chunk_size=16),
        everything(naive_hamiltonian, dynamics, x),
        1e-12,
    )
    y = packed(dynamics)
    o, state = apply(chunk_hamiltonian, dynamics, y, cu_seqlens=torch.tensor(BOUNDS))
    assert o.isfinite().all() and state.isfinite().all()


@both_forms
@every_dynamics
def test_gradients_are_derivatives(form, dynamics):
    x = draw(dynamics, 5, batch=1, heads=1, n=2, d=2, seed=8)
    options = {"chunk_size": 3} if form is chunk_hamiltonian else {}

    def function(*leaves):
        return apply(form, dynamics, dict(zip(x, leaves, strict=True)), **options)

    assert torch.autograd.gradcheck(function, tuple(x.values()), fast_mode=False)


def in_bf16(x):
    narrow = {name: x[name].detach().bfloat16() for name in ("r", "k", "v")}
    return {name: t.detach().float() for name, t in x.items()} | narrow


@both_forms
@every_dynamics
def test_bf16_operands(form, dynamics):
    """Outputs round to bf16 (2⁻⁹ relative); the state is carried in fp32 and rounds nowhere."""
    x = in_bf16(draw(dynamics, 150, seed=9))
    law = apply(naive_hamiltonian, dynamics, {name: t.double() for name, t in x.items()})
    o, state = apply(form, dynamics, x)
    assert o.dtype == torch.bfloat16 and state.dtype == torch.float32
    assert_close({"o": o}, {"o": law[0]}, 2**-9)
    assert_close({"state": state}, {"state": law[1]}, 1e-5)


@both_forms
@every_dynamics
def test_autocast_does_not_narrow_the_state(form, dynamics):
    x = {name: t.detach().float() for name, t in draw(dynamics, 100, seed=10).items()}
    law = apply(naive_hamiltonian, dynamics, {name: t.double() for name, t in x.items()})
    with torch.autocast("cpu", torch.bfloat16):
        o, state = apply(form, dynamics, x)
    assert state.dtype == torch.float32
    assert_close({"o": o, "state": state}, {"o": law[0], "state": law[1]}, 1e-5)


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
