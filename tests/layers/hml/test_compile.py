"""HML as one graph of torch.compile, and under autocast: the same outputs, gradients and states.

`aot_eager` traces everything that the default compiler does, forward and backward, and generates no code; that
takes minutes and is marked slow.
"""

import warnings

import pytest
import torch
from hml_cases import MEMBERS
from mixer_cases import WIDTH, make, normal

from hmlcore.ops import backend
from hmlcore.ops.short_conv import conv1d_short_conv, short_conv

# A graph takes seconds to trace: one of each kind in every run of the tests, the others among the slow ones.
# Rotating heads turn what goes into a dynamics and what comes out, so one that has some stands for all.
FEW = (
    "hml-delta",
    "hml-leapfrog-rotating",
    "hml-oscillator-token",
    "hml-quad",
    "hml-kick",
    "hml-oscillator-channel",
)
OTHERS = [
    case
    for case in (*MEMBERS, "hml-oscillator-head", "hml-delta-corrections", "hml-delta-channel")
    if case not in FEW
]
every_case = pytest.mark.parametrize(
    "case", [*FEW, *(pytest.param(case, marks=pytest.mark.slow) for case in OTHERS)]
)


@pytest.fixture(autouse=True)
def forget_graphs():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(function, compiler="aot_eager"):
    """`function` as one graph: a break in it is an error."""
    return torch.compile(function, fullgraph=True, backend=compiler)


def named(layer, function, x, state, **options):
    """Outputs, final state and every gradient, by name."""
    leaves = {"x": x, **dict(layer.named_parameters())}
    y, end = function(x, state, **options)
    parts = {"y": y, **end._asdict()}
    loss = sum((part.float() * normal(*part.shape, seed=3)).sum() for part in parts.values())
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return parts | {f"d {name}": g for name, g in zip(leaves, grads, strict=True)}


def agree(found, wanted, tolerance=2e-5):
    assert found.keys() == wanted.keys()
    for name, w in wanted.items():
        assert found[name].dtype == w.dtype and found[name].shape == w.shape
        assert w.isfinite().all(), name
        gap, size = (found[name] - w).float().norm(), w.float().norm()
        assert gap <= tolerance * size, f"{name} is off by {float(gap / size):.1e}"


@every_case
def test_one_graph_gives_the_same_outputs_and_gradients(case):
    layer, x = make(case), normal(2, 6, WIDTH).requires_grad_()
    found = named(layer, compiled(layer), x, None)
    agree(found, named(layer, layer, x, None))
    assert sum(found[f"d {name}"].abs().sum() > 0 for name, _ in layer.named_parameters()) >= 8


@every_case
def test_a_decoded_token_is_one_graph(case):
    layer, x = make(case), normal(2, WIDTH)
    with torch.no_grad():
        _, state = layer(normal(2, 5, WIDTH, seed=2))
        y, end = compiled(layer.step)(x, state)
        wanted, last = layer.step(x, state)
    agree({"y": y, **end._asdict()}, {"y": wanted, **last._asdict()})


@pytest.mark.parametrize("case", ["hml-oscillator-rotating", "hml-quad"])
def test_packed_sequences_are_one_graph_where_the_bounds_are_a_list(case):
    layer, x = make(case), normal(1, 7, WIDTH).requires_grad_()
    state, bounds = layer(normal(3, 2, WIDTH, seed=2))[1], [0, 1, 5, 7]
    state = type(state)(*(part.detach() for part in state))
    found = named(layer, compiled(layer), x, state, cu_seqlens=bounds)
    agree(found, named(layer, layer, x, state, cu_seqlens=bounds))


@pytest.mark.parametrize("case", ["hml-delta", "hml-oscillator-rotating"])
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_one_graph_under_autocast(case):
    layer, x = make(case), normal(2, 6, WIDTH).requires_grad_()
    exact = named(layer, layer, x, None)
    with torch.autocast("cpu", torch.bfloat16):
        found = named(layer, compiled(layer), x, None)
        wanted = named(layer, layer, x, None)
    agree(found, wanted, 0.02)
    assert found["memory"].dtype == torch.float32
    assert (found["y"].float() - exact["y"]).norm() < 0.03 * exact["y"].norm()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["hml-leapfrog", "hml-oscillator-rotating"])
def test_generated_code_gives_the_same(case):
    """The default compiler, over more than one chunk; no complex number, for which it has no code, is left."""
    layer, x = make(case), normal(2, 20, WIDTH).requires_grad_()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*complex operators")
        found = named(layer, compiled(layer, "inductor"), x, None)
    agree(found, named(layer, layer, x, None), 1e-4)


# Autocast.


@pytest.mark.parametrize("case", MEMBERS)
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_autocast_narrows_neither_gates_nor_memory(case):
    layer, x = make(case), normal(2, 40, WIDTH)
    exact = layer.coefficients(x)[1]
    wanted, _ = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        gates = layer.coefficients(x)[1]
        y, state = layer(x)
        token, after = layer.step(x[:, 0], state)
    assert gates.keys() == exact.keys()
    for name, gate in gates.items():
        assert gate.dtype == torch.float32 and torch.equal(gate, exact[name])
    assert state.memory.dtype == after.memory.dtype == torch.float32
    assert y.dtype == token.dtype == torch.bfloat16 and token.isfinite().all()
    assert (y.float() - wanted).norm() < 0.03 * wanted.norm()


# A kernel's first-use check happens while the graph is built, not in it.


@pytest.mark.parametrize("factor", [1.0, 2.0], ids=["right", "wrong"])
def test_a_kernel_is_checked_before_it_enters_a_graph(monkeypatch, factor):
    checked, self_check = [], backend.self_check

    def counted(choice, device=None):
        checked.append(choice.form.name)
        return self_check(choice, device)

    def function(x, weight, state=None, cu_seqlens=None):
        y, end = conv1d_short_conv(x, weight, state, cu_seqlens)
        return factor * y, end

    forms = backend._FORMS["short_conv"]
    kernel = backend.Form("kernel", function, backend.anywhere, "a stand-in", kernel=True)
    monkeypatch.setitem(backend._FORMS, "short_conv", [kernel, *forms])
    monkeypatch.setattr(backend, "self_check", counted)
    monkeypatch.setattr(backend, "_VERDICTS", {})
    monkeypatch.setattr(backend, "_WARNED", set())
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)
    x, weight = normal(1, 7, 8), normal(8, 4, seed=2)
    with warnings.catch_warnings(record=True) as seen, backend.recording_choices() as chosen:
        warnings.simplefilter("always")
        y, _ = compiled(short_conv)(x, weight)
    torch.testing.assert_close(y, conv1d_short_conv(x, weight)[0])
    assert checked == ["kernel"]
    said = [str(w.message) for w in seen if "op 'short_conv'" in str(w.message)]
    assert chosen == {"short_conv": "kernel" if factor == 1 else "shifted"}
    assert len(said) == (factor != 1) and all("'shifted' runs instead" in message for message in said)
