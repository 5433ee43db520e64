"""What every form of the delta rule, of retention and of the momentum delta rule owes its law."""

import itertools

import pytest
import torch
from matrix_memory_cases import CHUNKED, FORMS, NAIVE, apply, convert, draw, everything, over_time
from memory_cases import assert_close

from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend, delta_rule, momentum_delta, retention
from hmlcore.ops.matrix_memory import decay_matrix, join_chunks, split_chunks

every_fast_form = pytest.mark.parametrize("form", FORMS)
every_form = pytest.mark.parametrize("form", [*FORMS, *NAIVE.values()])
OP = FORMS | {form: op for op, form in NAIVE.items()}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}


@every_fast_form
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 100])
def test_a_fast_form_is_the_law_whatever_the_length(form, length):
    x = draw(FORMS[form], length, seed=length)
    for start in (True, False):
        law = everything(NAIVE[FORMS[form]], x, start=start)
        for dtype, tolerance in TOLERANCE.items():
            assert_close(everything(form, convert(x, dtype), start=start), law, tolerance)


@pytest.mark.parametrize("form", CHUNKED)
@pytest.mark.parametrize("size", [1, 5, 16, 70, 200])
def test_a_fast_form_is_the_law_whatever_the_chunk(form, size):
    x = draw(FORMS[form], 70, seed=1)
    law = everything(NAIVE[FORMS[form]], x)
    for dtype, tolerance in TOLERANCE.items():
        assert_close(everything(form, convert(x, dtype), chunk_size=size), law, tolerance)


@every_form
def test_two_halves_are_the_whole(form):
    x = draw(OP[form], 41, seed=2)
    whole, last = apply(form, x)

    def part(where, state):
        return apply(form, {name: t[:, where] if name in over_time(x) else t for name, t in x.items()} | state)

    first, middle = part(slice(0, 18), {})
    second, end = part(slice(18, None), {"initial_state": middle})
    assert_close({"o": torch.cat((first, second), 1), "state": end}, {"o": whole, "state": last}, 1e-13)


BOUNDS = [0, 1, 30, 64, 70]


def packed(op):
    x = draw(op, BOUNDS[-1], batch=1, seed=3)
    return x | {"initial_state": draw(op, 1, batch=len(BOUNDS) - 1, seed=4)["initial_state"]}


@every_form
def test_packed_sequences_are_separate_sequences(form):
    x, law = packed(OP[form]), NAIVE[OP[form]]

    def separate(*arguments, initial_state, output_final_state):
        pieces = [
            law(
                *(t[:, a:b] if t.ndim >= 3 else t for t in arguments),
                initial_state=initial_state[i : i + 1], output_final_state=output_final_state,
            )
            for i, (a, b) in enumerate(itertools.pairwise(BOUNDS))
        ]  # fmt: skip
        outputs, states = zip(*pieces, strict=True)
        return torch.cat(outputs, 1), torch.cat(states)

    assert_close(everything(form, x, cu_seqlens=torch.tensor(BOUNDS)), everything(separate, x), 1e-12)


@every_form
def test_no_packed_sequence_sees_another(form):
    x = packed(OP[form])
    o, _ = apply(form, x, cu_seqlens=torch.tensor(BOUNDS))
    names = over_time(x)
    for name, g in zip(names, torch.autograd.grad(o[:, 30:64].sin().sum(), [x[n] for n in names]), strict=True):
        assert torch.cat((g[:, :30], g[:, 64:]), 1).count_nonzero() == 0, f"d{name} leaks"
        assert g[:, 30:64].count_nonzero() > 0


@every_form
def test_strides_do_not_matter(form):
    x = draw(OP[form], 33, seed=5)

    def strange(t):
        """The same values, every second element of memory unused and NaN."""
        return torch.stack((t, torch.full_like(t, torch.nan)), -1)[..., 0]

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


@every_fast_form
def test_nothing_uninitialised_is_read(form, poisoned):
    x = draw(FORMS[form], 37, seed=6)
    assert_close(everything(form, x), everything(NAIVE[FORMS[form]], x), 1e-12)
    o, state = apply(form, packed(FORMS[form]), cu_seqlens=torch.tensor(BOUNDS))
    assert o.isfinite().all() and state.isfinite().all()


@every_form
def test_gradients_are_derivatives(form):
    x = draw(OP[form], 5, batch=1, heads=1, n=2, d=2, seed=7)
    options = {"chunk_size": 3} if form in CHUNKED else {}

    def function(*leaves):
        return apply(form, dict(zip(x, leaves, strict=True)), **options)

    assert torch.autograd.gradcheck(function, tuple(x.values()), fast_mode=False)


@every_form
def test_bf16_operands(form):
    """Outputs round to bf16 (2⁻⁹ relative); the state is carried in fp32 and rounds nowhere."""
    x = {name: t.detach().float() for name, t in draw(OP[form], 150, seed=8).items()}
    x |= {name: x[name].bfloat16() for name in "qkv"}
    law = apply(NAIVE[OP[form]], {name: t.double() for name, t in x.items()})
    o, state = apply(form, x)
    assert o.dtype == torch.bfloat16 and state.dtype == torch.float32
    assert_close({"o": o}, {"o": law[0]}, 2**-9)
    assert_close({"state": state}, {"state": law[1]}, 1e-5)


@every_form
def test_autocast_does_not_narrow_the_state(form):
    x = {name: t.detach().float() for name, t in draw(OP[form], 100, seed=9).items()}
    law = apply(NAIVE[OP[form]], {name: t.double() for name, t in x.items()})
    with torch.autocast("cpu", torch.bfloat16):
        o, state = apply(form, x)
    assert o.dtype == state.dtype == torch.float32
    assert_close({"o": o, "state": state}, {"o": law[0], "state": law[1]}, 1e-5)


@every_form
def test_the_state_is_returned_where_asked_for(form):
    x = draw(OP[form], 7)
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
    ],
)
def test_the_op_dispatches_to_chunk(op, dispatched):
    x = draw(op, 20)
    chunk = next(form for form in CHUNKED if FORMS[form] == op)
    for a, b in zip(apply(dispatched, x), apply(chunk, x), strict=True):
        assert torch.equal(a, b)
    assert backend.choose(op, "cpu", backend="naive").form.function is NAIVE[op]


@pytest.mark.parametrize("op", NAIVE)
def test_self_check_accepts_every_form_and_sees_a_wrong_one(op):
    for form in (form for form in backend._FORMS[op] if form.obstacle(torch.device("cpu")) is None):
        assert backend.self_check(backend.Choice(op, form, ""), "cpu") < 1e-5

    def wrong(*args, **kwargs):
        o, state = form.function(*args, **kwargs)
        return o, state * 1.001

    assert backend.self_check(backend.Choice(op, form._replace(function=wrong), ""), "cpu") > 1e-4


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
        for gate in ("log_alpha", "beta", "log_mu", "eta")
    },
}  # fmt: skip
REFUSALS = [(form, case) for form in OP for case in WRONG if WRONG[case][0] in draw(OP[form], 1)]


@pytest.mark.parametrize(("form", "case"), REFUSALS)
def test_wrong_shapes_are_refused(form, case):
    name, shape, message = WRONG[case]
    x = draw(OP[form], T, heads=H, n=N, d=D)
    with pytest.raises(HmlcoreError, match=message):
        apply(form, x | {name: torch.zeros(shape, dtype=torch.float64)})


@every_form
def test_packing_is_refused_where_it_does_not_fit(form):
    x = draw(OP[form], 6, batch=1)
    with pytest.raises(HmlcoreError, match=r"cu_seqlens must rise from 0 to 6, got \[0, 3\]"):
        apply(form, x, cu_seqlens=torch.tensor([0, 3]))
    with pytest.raises(HmlcoreError, match=r"initial_state must .*2.*got .*1"):
        apply(form, x, cu_seqlens=torch.tensor([0, 3, 6]))
    with pytest.raises(HmlcoreError, match="cu_seqlens needs tensors of batch 1, got batch 2"):
        apply(form, draw(OP[form], 6), cu_seqlens=torch.tensor([0, 6]))


@pytest.mark.parametrize("form", CHUNKED)
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
