"""What every token mixer owes, whatever it remembers with."""

from pathlib import Path

import pytest
import torch
from mixer_cases import CASES, CHOOSING, WIDTH, make, normal
from safetensors.torch import load, save

import hmlcore
from hmlcore.errors import HmlcoreError
from hmlcore.layers import MIXERS, Mixer, recording

every_mixer = pytest.mark.parametrize("case", CASES)


def floats(state):
    """Numbers in a state, per sequence."""
    return sum(x.numel() // x.shape[0] for x in state)


def close(found, wanted, tolerance=1e-5):
    assert found.shape == wanted.shape
    assert (found - wanted).norm() <= tolerance * wanted.norm()


def states_close(found, wanted):
    assert type(found) is type(wanted)
    for a, b in zip(found, wanted, strict=True):
        close(a, b)


def test_every_registered_mixer_is_covered_here():
    assert {name for name, _ in CASES.values()} == set(MIXERS)
    assert all(issubclass(cls, Mixer) and cls.name == name for name, cls in MIXERS.items())


@every_mixer
def test_an_output_depends_on_the_past_and_present_only(case):
    mixer, x = make(case, torch.float64), normal(2, 23, WIDTH, dtype=torch.float64)
    y, _ = mixer(x)
    for t in (0, 9, 22):
        changed = x.clone()
        changed[:, t] += 1
        z, _ = mixer(changed)
        torch.testing.assert_close(z[:, :t], y[:, :t], rtol=0, atol=1e-12)
        assert all((z[:, s] - y[:, s]).abs().max() > 1e-9 for s in range(t, 23))


@every_mixer
def test_no_gradient_reaches_the_future(case):
    mixer, x = make(case, torch.float64), normal(2, 23, WIDTH, dtype=torch.float64).requires_grad_()
    (g,) = torch.autograd.grad(mixer(x)[0][:, 10].sum(), x)
    assert g[:, 11:].abs().max() < 1e-12 * g.abs().max()
    assert g[:, :11].abs().amax((0, 2)).min() > 1e-9 * g.abs().max()


@every_mixer
def test_one_pass_is_any_chunking(case):
    mixer, x = make(case), normal(2, 23, WIDTH)
    whole, last = mixer(x)
    for cut in ([23], [22, 1], [1] * 6 + [17]):
        pieces, state = [], mixer.init_state(2)
        for part in x.split(cut, dim=1):
            y, state = mixer(part, state)
            pieces.append(y)
        close(torch.cat(pieces, 1), whole)
        states_close(state, last)


@every_mixer
def test_one_pass_is_single_steps(case):
    mixer, x = make(case), normal(2, 23, WIDTH)
    whole, last = mixer(x)
    first, state = mixer(x[:, :5])
    outputs = [first]
    for t in range(5, 23):
        y, state = mixer.step(x[:, t], state)
        assert y.shape == (2, WIDTH)
        outputs.append(y[:, None])
    close(torch.cat(outputs, 1), whole)
    states_close(state, last)
    y, _ = mixer.step(x[:, 0], mixer.init_state(2))
    close(y, whole[:, 0])


@every_mixer
def test_gradients_through_steps_are_those_of_one_pass(case):
    mixer, x = make(case, torch.float64), normal(1, 9, WIDTH, dtype=torch.float64).requires_grad_()
    weight = normal(1, 9, WIDTH, seed=2, dtype=torch.float64)
    state, outputs = mixer.init_state(1, dtype=torch.float64), []
    for t in range(9):
        y, state = mixer.step(x[:, t], state)
        outputs.append(y)
    results = []
    for y in (mixer(x)[0], torch.stack(outputs, 1)):
        results.append(torch.autograd.grad((y * weight).sum(), [x, *mixer.parameters()]))
    for a, b in zip(*results, strict=True):
        close(b, a, 1e-9)


@every_mixer
def test_a_call_with_other_parameters_is_that_of_a_mixer_that_has_them(case):
    """Through `torch.func`: outputs, and the gradient of every parameter."""
    one, other, x = make(case), make(case, seed=5), normal(2, 9, WIDTH)
    own = {name: p.detach().requires_grad_() for name, p in other.named_parameters()}
    y, state = torch.func.functional_call(one, own, (x,))
    z, _ = torch.func.functional_call(one, own, (x[:, :1], state))
    wanted, last = other(x)
    again, _ = other(x[:, :1], last)
    close(z, again)
    found = torch.autograd.grad((y + z).square().sum(), list(own.values()), allow_unused=True)
    grads = torch.autograd.grad((wanted + again).square().sum(), list(other.parameters()), allow_unused=True)
    for name, a, b in zip(own, found, grads, strict=True):
        assert (a is None) == (b is None), name
        if b is not None:
            close(a, b)


@every_mixer
def test_state_size_counts_the_floats_there_are(case):
    mixer = make(case)
    assert floats(mixer.init_state(3)) == mixer.state_size(0)
    for length in (1, 2, 17):
        _, state = mixer(normal(3, length, WIDTH))
        assert floats(state) == mixer.state_size(length)
    if CASES[case][0] in ("hml", "gru"):
        assert mixer.state_size(1000) == mixer.state_size(0)


@every_mixer
def test_the_parts_of_an_empty_memory_share_nothing(case):
    state = make(case).init_state(2)
    for i, part in enumerate(state):
        part.fill_(i)
    assert all((part == i).all() for i, part in enumerate(state))
    assert len({id(part) for part in state}) == len(state)


@every_mixer
@pytest.mark.parametrize("backend", ["", "naive"])
def test_a_state_is_stored_without_what_computed_it(case, backend, monkeypatch):
    """As a file or a cache keeps it: as many bytes as it says, each part its own, however it came about."""
    monkeypatch.setenv("HMLCORE_BACKEND", backend)
    mixer, x, states = make(case), normal(2, 70, WIDTH), {}
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            states["begun", grad] = mixer.init_state(2)
            _, states["read", grad] = mixer(x)
            _, states["gone on", grad] = mixer(x[:, :2], states["read", grad])
            _, states["stepped", grad] = mixer.step(x[:, 0], states["read", grad])
            _, states["alone", grad] = mixer(x[:1])
            if mixer.packs:
                _, states["packed", grad] = mixer(x[:1], cu_seqlens=[0, 7, 8, 70])
                _, states["packed alone", grad] = mixer(x[:1], cu_seqlens=[0, 70])
    for how, state in states.items():
        for name, part in state._asdict().items():
            assert part.untyped_storage().nbytes() == part.nbytes, (how, name)
        parts = {name: part.detach() for name, part in state._asdict().items()}
        assert all(torch.equal(x, parts[name]) for name, x in load(save(parts)).items()), how


@pytest.mark.parametrize("case", [*MIXERS, "hml-euler", "hml-delta"])
def test_gradients_are_finite_over_a_long_sequence(case):
    mixer, x = make(case), normal(1, 2048, WIDTH).requires_grad_()
    y, _ = mixer(x)
    grads = torch.autograd.grad(y[:, -64:].square().sum(), [x, *mixer.parameters()])
    assert y.isfinite().all()
    assert all(g.isfinite().all() for g in grads)
    assert sum(g.abs().sum() for g in grads) > 0


@every_mixer
def test_state_dict_round_trip(case):
    one, other, x = make(case), make(case, seed=5), normal(2, 6, WIDTH)
    wanted, _ = one(x)
    assert not torch.equal(other(x)[0], wanted)
    other.load_state_dict(one.state_dict(), strict=True)
    assert torch.equal(other(x)[0], wanted)


@every_mixer
def test_sequences_of_a_batch_do_not_meet(case):
    mixer, x = make(case), normal(3, 12, WIDTH).requires_grad_()
    y, _ = mixer(x)
    (g,) = torch.autograd.grad(y[1].sum(), x)
    assert g[[0, 2]].count_nonzero() == 0 and g[1].count_nonzero() > 0
    close(mixer(x[1:2])[0], y[1:2])


def without_gradient(mixer, x, state=None):
    with torch.no_grad():
        return mixer(x, state)


def stays_in_its_future(mixer, x, value, dies=True):
    """Tokens of one sequence become `value`; if it `dies` of that, nothing of it is finite any more."""
    exact, last = without_gradient(mixer, x)
    for t in (0, 9, x.shape[1] - 2):
        changed = x.clone()
        changed[1, t, 3] = value
        y, state = without_gradient(mixer, changed)
        after, _ = without_gradient(mixer, x, state)
        close(y[1, :t], exact[1, :t], 1e-6)  # not its bits: a transform rounds by all that it is given
        wanted = (exact, without_gradient(mixer, x, last)[0], *last)
        for a, b in zip((y, after, *state), wanted, strict=True):
            close(a[[0, 2]], b[[0, 2]], 1e-6)
        assert not dies or not (y[1, t:].isfinite().any() or after[1].isfinite().any())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("backend", ["", "naive", "retention=parallel"], ids=["fastest", "naive", "parallel"])
@every_mixer
def test_what_is_not_finite_stays_in_its_sequence_and_future(case, backend, value, monkeypatch):
    if "retention" in backend and case != "retnet":
        return
    monkeypatch.setenv("HMLCORE_BACKEND", backend)
    # A window forgets, and of an infinity a unit may recover, whose gates it shuts.
    forgets = ["window_attention", *(["gru", "lstm"] if value == torch.inf else [])]
    x = normal(3, 12 if backend else 70, WIDTH)
    stays_in_its_future(make(case), x, value, dies=CASES[case][0] not in forgets)


@every_mixer
def test_so_it_does_where_values_are_not_looked_at(case, monkeypatch):
    """On a GPU and in a compiled graph, marks are made whether there is something to mark or not."""
    mixer, x = make(case), normal(3, 70, WIDTH)
    looked, state = without_gradient(mixer, x)
    monkeypatch.setattr("hmlcore.ops.finite.visible", lambda x: False)
    unlooked, last = without_gradient(mixer, x)
    assert torch.equal(unlooked, looked) and all(map(torch.equal, state, last))
    stays_in_its_future(mixer, x, torch.nan, dies=case != "window_attention")


@pytest.mark.parametrize("backend", ["", "naive", "retention=parallel"], ids=["fastest", "naive", "parallel"])
@every_mixer
def test_a_batch_of_none_is_a_batch(case, backend, monkeypatch):
    """Forward, by steps and backward: results of no sequence, and gradients of zero."""
    if "retention" in backend and case != "retnet":
        return
    monkeypatch.setenv("HMLCORE_BACKEND", backend)
    mixer, x = make(case), torch.zeros(0, 7 if backend else 37, WIDTH, requires_grad=True)
    y, state = mixer(x)
    again, state = mixer(x[:, :5], state)
    step, last = mixer.step(x[:, 0], state)
    first, _ = mixer.step(x[:, 0], mixer.init_state(0))
    assert y.shape == x.shape and again.shape == (0, 5, WIDTH) and step.shape == first.shape == (0, WIDTH)
    assert [s.shape for s in last] == [
        (0, *s.shape[1:]) for s in mixer(torch.zeros(1, x.shape[1] + 6, WIDTH))[1]
    ]
    (of_x, *grads) = torch.autograd.grad(
        sum(part.sum() for part in (y, again, step, first)), [x, *mixer.parameters()], allow_unused=True
    )
    assert of_x.shape == x.shape and all(g is None or g.count_nonzero() == 0 for g in grads)
    with torch.no_grad():
        assert mixer(x)[0].shape == x.shape


@every_mixer
def test_recording_changes_no_bit(case):
    mixer, x = make(case), normal(2, 12, WIDTH)
    plain, last = mixer(x)
    with recording(mixer) as traces:
        recorded, end = mixer(x)
    assert torch.equal(recorded, plain)
    assert all(torch.equal(a, b) for a, b in zip(end, last, strict=True))
    assert list(traces) == [""] and mixer.trace is None


@every_mixer
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_autocast_gives_finite_outputs_near_the_exact_ones(case):
    mixer, x = make(case), normal(2, 40, WIDTH)
    exact, _ = mixer(x)
    with torch.autocast("cpu", torch.bfloat16):
        y, state = mixer(x)
        step, _ = mixer.step(x[:, 0], state)
    assert step.isfinite().all()
    assert all(s.isfinite().all() for s in state)
    close(y.float(), exact, 0.3 if case in CHOOSING else 0.03)
    grads = torch.autograd.grad(y.float().square().sum(), list(mixer.parameters()))
    assert all(g.isfinite().all() for g in grads)


@every_mixer
def test_bf16_weights_give_finite_outputs(case):
    mixer, x = make(case, torch.bfloat16), normal(2, 20, WIDTH, dtype=torch.bfloat16)
    y, state = mixer(x)
    step, _ = mixer.step(x[:, 0], state)
    assert y.dtype == step.dtype == torch.bfloat16
    assert y.isfinite().all() and step.isfinite().all()


@every_mixer
@pytest.mark.parametrize("size", [0, 1, 200])
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_fp16_is_finite_and_near_fp32(case, size):
    """Zeros, numbers after zeros, and large ones, of which SiLU makes keys of zeros: no length to divide by."""
    name, arguments = CASES[case]
    if size == 200 and (name not in ("hml", "gated_deltanet", "momentum_deltanet") or "skip" in arguments):
        return  # products of numbers as large, which no norm makes small, are out of fp16's range
    mixer, x = make(case), size * normal(2, 20, WIDTH)
    x[:, :5] = 0
    exact = mixer(x)[0]
    with torch.autocast("cpu", torch.float16):
        mixed, _ = mixer(x)
    grads = torch.autograd.grad(mixed.float().mean(), list(mixer.parameters()))
    narrow, state = mixer.half()(x.half())
    step, _ = mixer.step(x[:, 0].half(), state)
    assert narrow.dtype == step.dtype == torch.float16
    assert all(y.isfinite().all() for y in (mixed, narrow, step, *state))
    if size < 200:
        assert all(g.isfinite().all() for g in grads)
        # Hyena's filters are sines of sines: half a digit of their weights is much of them.
        close(narrow.float(), exact, 0.1 if case == "hyena" else 0.3 if case in CHOOSING else 0.01)
        close(mixed.float(), exact, 0.3 if case in CHOOSING else 0.01)


@every_mixer
def test_initial_state_takes_device_and_dtype(case):
    state = make(case).init_state(2, torch.device("meta"), torch.float64)
    assert all(s.device.type == "meta" and s.dtype == torch.float64 for s in state)


@every_mixer
def test_wrong_shapes_are_refused(case):
    mixer = make(case)
    for x, message in [
        (
            normal(2, 3, WIDTH + 1),
            rf"x must be \[B, T, d_model\] with d_model = {WIDTH}, got \(2, 3, {WIDTH + 1}\)",
        ),
        (normal(3, WIDTH), rf"x must be \[B, T, d_model\].*got \(3, {WIDTH}\)"),
        (normal(2, 0, WIDTH), "x has T = 0 tokens"),
    ]:
        with pytest.raises(HmlcoreError, match=message):
            mixer(x)
    with pytest.raises(HmlcoreError, match=rf"x must be \[B, d_model\] .*got \(2, 1, {WIDTH}\)"):
        mixer.step(normal(2, 1, WIDTH), mixer.init_state(2))
    with pytest.raises(HmlcoreError, match="must have shape"):
        mixer(normal(2, 4, WIDTH), mixer.init_state(3))


@every_mixer
def test_cost_of_a_token_grows_with_the_cache_only(case):
    mixer = make(case)
    assert mixer.flops_per_token(1) > 0
    if CASES[case][0] in ("attention", "hml", "gru"):
        # Every weight of a linear map takes part in one multiply-add at least.
        assert mixer.flops_per_token(1) >= 2 * sum(p.numel() for p in mixer.parameters() if p.ndim == 2)
        grows = mixer.flops_per_token(1000) > mixer.flops_per_token(10)
        assert grows == (CASES[case][0] == "attention")


def second_derivative(mixer, x, v, u, w):
    """Of (mixer(x)·v), once along u and once along w; x enters as what is no leaf."""
    leaf = x.clone().requires_grad_()
    inside = 1 * leaf
    (g,) = torch.autograd.grad((mixer(inside)[0] * v).sum(), inside, create_graph=True)
    (h,) = torch.autograd.grad((g * u).sum(), leaf)
    return (h * w).sum()


def by_differences(mixer, x, v, u, w, eps=1e-5):
    """The same from first derivatives at two points."""

    def along(at):
        at = at.clone().requires_grad_()
        (g,) = torch.autograd.grad((mixer(at)[0] * v).sum(), at)
        return (g * u).sum()

    return (along(x + eps * w) - along(x - eps * w)) / (2 * eps)


@pytest.mark.parametrize("backend", ["", "naive"], ids=["fastest", "naive"])
@every_mixer
def test_a_second_derivative_is_right_or_refused(case, backend, monkeypatch):
    """Refused in words that name a form which has one: the law of every op does."""
    monkeypatch.setenv("HMLCORE_BACKEND", backend)
    mixer = make(case, torch.float64)
    length = 6 if backend else 20  # one token after another is slow; more than a chunk of the others
    given = [normal(1, length, WIDTH, seed=seed, dtype=torch.float64) for seed in range(1, 5)]
    try:
        found = second_derivative(mixer, *given)
    except HmlcoreError as error:
        if case in CHOOSING:
            assert "straight-through gradient is no derivative" in str(error)
            return
        assert not backend and "can be differentiated once only" in str(error)
        assert "HMLCORE_BACKEND=naive" in str(error)
        return
    close(found, by_differences(mixer, *given), 1e-5)


def test_vectors_are_normalised_by_what_knows_fp16():
    """torch's own bound from below is 0 there; no layer and no model asks for it."""
    package = Path(hmlcore.__file__).parent
    files = [path for part in ("layers", "models") for path in sorted((package / part).rglob("*.py"))]
    assert len(files) > 40
    assert [path.name for path in files if "F.normalize(" in path.read_text("utf-8")] == []


def test_a_convolution_of_one_tap_is_none_at_the_start():
    layer = MIXERS["retnet"](16, num_heads=2, conv_size=1)
    assert torch.equal(layer.conv, torch.ones_like(layer.conv))
    assert MIXERS["retnet"](16, num_heads=2).conv.abs().max() <= 0.5
