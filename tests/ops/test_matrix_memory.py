"""What every form of a memory of matrices owes its law, the Hamiltonian ones included."""

import pytest
import torch
from matrix_memory_cases import (
    CHUNKED,
    FAST,
    FORMS,
    NAIVE,
    apply,
    convert,
    draw,
    everything,
    over_time,
    separately,
)
from memory_cases import DYNAMICS, assert_close

from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend, delta_rule, momentum_delta, oscillator, retention
from hmlcore.ops.matrix_memory import decay_matrix, join_chunks, split_chunks


def each(forms):
    return pytest.mark.parametrize("form", forms, ids=lambda form: form.__name__)


def tolerances(op):
    return {torch.float64: 1e-12, torch.float32: 1e-5 if op in DYNAMICS else 2e-5}


@each(FAST)
@pytest.mark.parametrize(
    ("length", "start"), [(1, True), (2, False), (15, True), (16, False), (17, True), (40, False), (40, True)]
)
def test_a_fast_form_is_the_law_whatever_the_length(form, length, start):
    x = draw(FAST[form], length, seed=length)
    law = everything(NAIVE[FAST[form]], x, start=start)
    options = {"chunk_size": 16} if form in CHUNKED else {}
    for dtype, tolerance in tolerances(FAST[form]).items():
        assert_close(everything(form, convert(x, dtype), start=start, **options), law, tolerance)


@each(CHUNKED)
def test_a_fast_form_is_the_law_whatever_the_chunk(form):
    x = draw(CHUNKED[form], 70, seed=1)
    law = everything(NAIVE[CHUNKED[form]], x)
    for size in (1, 5, 16, 64, 70, 200):
        for dtype, tolerance in tolerances(CHUNKED[form]).items():
            assert_close(everything(form, convert(x, dtype), chunk_size=size), law, tolerance)


@each(FORMS)
def test_two_halves_are_the_whole(form):
    x = draw(FORMS[form], 41, seed=2)
    whole, last = apply(form, x)

    def part(where, state):
        return apply(form, {name: t[:, where] if name in over_time(x) else t for name, t in x.items()} | state)

    first, middle = part(slice(0, 18), {})
    second, end = part(slice(18, None), {"initial_state": middle})
    assert_close({"o": torch.cat((first, second), 1), "state": end}, {"o": whole, "state": last}, 1e-13)


BOUNDS = [0, 1, 18, 34, 40]


def packed(op):
    x = draw(op, BOUNDS[-1], batch=1, seed=3)
    return x | {"initial_state": draw(op, 1, batch=len(BOUNDS) - 1, seed=4)["initial_state"]}


@each(FORMS)
def test_packed_sequences_are_separate_sequences(form):
    """And none sees another."""
    x = packed(FORMS[form])
    found = everything(form, x, cu_seqlens=torch.tensor(BOUNDS))
    assert_close(found, everything(separately(NAIVE[FORMS[form]], BOUNDS), x), 1e-12)
    o, _ = apply(form, x, cu_seqlens=torch.tensor(BOUNDS))
    names = over_time(x)
    for name, g in zip(names, torch.autograd.grad(o[:, 18:34].sin().sum(), [x[n] for n in names]), strict=True):
        assert torch.cat((g[:, :18], g[:, 34:]), 1).count_nonzero() == 0, f"d{name} leaks"
        assert g[:, 18:34].count_nonzero() > 0


@each(FORMS)
def test_strides_do_not_matter(form):
    x = draw(FORMS[form], 21, seed=5)

    def strange(t):
        """The same values, every second element of memory unused and NaN; gates with time last in memory."""
        wide = torch.stack((t, torch.full_like(t, torch.nan)), -1)[..., 0]
        return wide.transpose(1, 2).contiguous().transpose(1, 2) if t.ndim == 3 else wide

    y = {name: strange(t.detach()).requires_grad_() for name, t in x.items()}
    assert not y["k"].is_contiguous()
    assert_close(everything(form, y), everything(form, x), 1e-14)


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


@each(FAST)
def test_nothing_uninitialised_is_read(form, poisoned):
    x = draw(FAST[form], 37, seed=6)
    assert_close(everything(form, x), everything(NAIVE[FAST[form]], x), 1e-12)
    o, state = apply(form, packed(FAST[form]), cu_seqlens=torch.tensor(BOUNDS))
    assert o.isfinite().all() and state.isfinite().all()


@each(FORMS)
def test_gradients_are_derivatives(form):
    x = draw(FORMS[form], 4, batch=1, heads=1, n=2, d=2, seed=7)
    options = {"chunk_size": 3} if form in CHUNKED else {}

    def function(*leaves):
        return apply(form, dict(zip(x, leaves, strict=True)), **options)

    assert torch.autograd.gradcheck(function, tuple(x.values()), atol=1e-7, fast_mode=False)


@each(FORMS)
def test_narrow_operands_and_autocast_leave_the_state_wide(form):
    """Outputs round to bf16 (2⁻⁹ relative) where the operands do; the state is fp32 and rounds nowhere."""
    wide = {name: t.detach().float() for name, t in draw(FORMS[form], 90, seed=8).items()}
    narrow = wide | {name: wide[name].bfloat16() for name in ("q", "r", "k", "v") if name in wide}
    for x, autocast, tolerance in ((narrow, False, 2**-9), (wide, True, 1e-5)):
        law = apply(NAIVE[FORMS[form]], {name: t.double() for name, t in x.items()})
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            o, state = apply(form, x)
        assert o.dtype == x["v"].dtype and state.dtype == torch.float32
        assert_close({"o": o}, {"o": law[0]}, tolerance)
        assert_close({"state": state}, {"state": law[1]}, 1e-5)


@each(FORMS)
def test_the_state_is_returned_where_asked_for(form):
    x = draw(FORMS[form], 7)
    arguments = [t for name, t in x.items() if name != "initial_state"]
    o, state = form(*arguments)
    assert state is None
    assert torch.equal(o, apply(form, x, start=False)[0])


@pytest.mark.parametrize(
    ("op", "dispatched"),
    [
        ("delta_rule", delta_rule.delta_rule),
        ("momentum_delta", momentum_delta.momentum_delta),
        ("retention", retention.retention),
        ("oscillator", oscillator.oscillator),
    ],
)
def test_the_op_dispatches_to_chunk(op, dispatched):
    x = draw(op, 20)
    chunk = next(form for form in CHUNKED if CHUNKED[form] == op)
    for a, b in zip(apply(dispatched, x), apply(chunk, x), strict=True):
        assert torch.equal(a, b)
    assert backend.choose(op, "cpu", backend="naive").form.function is NAIVE[op]


B, T, H, N, D = 2, 6, 3, 4, 5
WRONG = {
    "k of three dimensions": ("k", (B, T, N), r"k must be \[B, T, H, N\].*\(2, 6, 4\)"),
    "no token": ("k", (B, 0, H, N), "k has T = 0 tokens"),
    "q of another size": ("q", (B, T, H, N + 1), r"q must have k's shape.*\(2, 6, 3, 5\)"),
    "v of another length": ("v", (B, T + 1, H, D), r"v must be \[B, T, H, D\].*\(2, 7, 3, 5\)"),
    "state of another size": ("initial_state", (B, H, N, D + 1), r"initial_state must .*got \(2, 3, 4, 6\)"),
    "p of another size": ("p", (B, T, H, N + 1), r"p must have k's shape .*\(2, 6, 3, 5\)"),
    "decays of another count": ("log_gamma", (H + 1,), r"log_gamma must be \[H\] = \(3,\), got \(4,\)"),
    **{
        f"{gate} of another length": (gate, (B, T + 2, H), rf"{gate} must be \[B, T, H\] = .*\(2, 8, 3\)")
        for gate in ("log_alpha", "beta", "log_mu", "eta", "log_rho", "theta")
    },
}  # fmt: skip


@each([form for form, op in FORMS.items() if op in backend.ops()])  # the Hamiltonian memory names coefficients
def test_wrong_shapes_are_refused(form):
    x = draw(FORMS[form], T, heads=H, n=N, d=D)
    for name, shape, message in WRONG.values():
        if name in x:
            with pytest.raises(HmlcoreError, match=message):
                apply(form, x | {name: torch.zeros(shape, dtype=torch.float64)})


@each(FORMS)
def test_packing_is_refused_where_it_does_not_fit(form):
    x = draw(FORMS[form], 6, batch=1)
    with pytest.raises(HmlcoreError, match=r"cu_seqlens must rise from 0 to 6, got \[0, 3\]"):
        apply(form, x, cu_seqlens=torch.tensor([0, 3]))
    with pytest.raises(HmlcoreError, match=r"initial_state must .*2.*got .*1"):
        apply(form, x, cu_seqlens=torch.tensor([0, 3, 6]))
    with pytest.raises(HmlcoreError, match="cu_seqlens needs tensors of batch 1, got batch 2"):
        apply(form, draw(FORMS[form], 6), cu_seqlens=torch.tensor([0, 6]))


@each(CHUNKED)
def test_a_chunk_holds_at_least_one_token(form):
    with pytest.raises(HmlcoreError, match="chunk_size must be at least 1, got 0"):
        apply(form, draw(FORMS[form], 4), chunk_size=0)


def test_decays_are_products_over_what_lies_between():
    g = torch.tensor([0.5, 0.25, 1e-200], dtype=torch.float64)
    wanted = [[1, 0, 0, 0], [0.5, 1, 0, 0], [0.125, 0.25, 1, 0], [1.25e-201, 2.5e-201, 1e-200, 1]]
    wanted = torch.tensor(wanted, dtype=torch.float64)
    torch.testing.assert_close(decay_matrix(g.log()), wanted, rtol=1e-12, atol=0)
    shut = decay_matrix(torch.tensor([0.0, -torch.inf, 0.0]))
    assert shut.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]


def test_split_and_join_are_inverse():
    x = torch.arange(2.0 * 7 * 3).view(2, 7, 3)[..., None]
    chunks = split_chunks(x, 4, torch.float64)
    assert chunks.shape == (2, 3, 2, 4, 1) and chunks.dtype == torch.float64
    assert chunks[:, :, 1, 3].count_nonzero() == 0
    assert torch.equal(join_chunks(chunks, 7), x.double())
