"""Which form of an op runs, and whether a wrong one would be noticed."""

import math

import pytest
import torch

import hmlcore.ops  # noqa: F401  registers the ops
from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend

FASTEST_ON_CPU = {"attention": "sdpa", "gru": "torch", "hamiltonian": "chunk", "short_conv": "conv1d"}


@pytest.fixture(autouse=True)
def no_override(monkeypatch):
    monkeypatch.delenv("HMLCORE_BACKEND", raising=False)


def chosen():
    return {op: backend.choose(op, "cpu").form.name for op in backend.ops()}


def test_the_fastest_form_that_runs_is_chosen():
    assert chosen().items() >= FASTEST_ON_CPU.items()
    assert all(backend.choose(op, "cpu").reason for op in backend.ops())


def test_the_caller_may_ask_for_a_form():
    assert backend.choose("gru", "cpu", backend="naive").form.name == "naive"


def test_one_name_overrides_all_ops_that_have_it(monkeypatch):
    usual = chosen()
    monkeypatch.setenv("HMLCORE_BACKEND", "naive")
    assert set(chosen().values()) == {"naive"}
    assert backend.choose("gru", "cpu").reason == "HMLCORE_BACKEND=naive"
    monkeypatch.setenv("HMLCORE_BACKEND", "conv1d")
    assert chosen() == usual


def test_pairs_override_single_ops(monkeypatch):
    usual = chosen()
    monkeypatch.setenv("HMLCORE_BACKEND", "hamiltonian=naive, attention=naive")
    assert chosen() == usual | {"hamiltonian": "naive", "attention": "naive"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("fast", r"unknown backend in HMLCORE_BACKEND 'fast'; known: .*chunk, .*naive, .*sdpa"),
        ("delta=naive", r"unknown op in HMLCORE_BACKEND 'delta'; known: attention, .*hamiltonian, "),
        ("hamiltonian=sdpa", r"unknown backend of op 'hamiltonian' 'sdpa'; known: chunk, naive"),
        ("hamiltonian=naive,chunk", r"takes one name or OP=NAME\[,OP=NAME...\], got 'hamil.*,chunk'"),
        ("hamiltonian=naive=chunk", r"takes one name or OP=NAME\[,OP=NAME...\], got 'hamil.*=chunk'"),
    ],
)
def test_a_wrong_override_is_refused(monkeypatch, setting, message):
    monkeypatch.setenv("HMLCORE_BACKEND", setting)
    with pytest.raises(HmlcoreError, match=message):
        backend.choose("hamiltonian", "cpu")


def test_an_unknown_op_or_form_is_refused():
    with pytest.raises(HmlcoreError, match=f"unknown op 'x'; known: {', '.join(backend.ops())}$"):
        backend.choose("x", "cpu")
    with pytest.raises(HmlcoreError, match="unknown backend of op 'gru' 'chunk'; known: naive, torch"):
        backend.choose("gru", "cpu", backend="chunk")


@pytest.fixture
def with_absent_kernel(monkeypatch):
    forms = backend._FORMS["gru"]
    kernel = backend.Form("kernel", None, lambda device: "it needs a device of the future", "")
    monkeypatch.setitem(backend._FORMS, "gru", [kernel, *forms])


def test_a_form_that_cannot_run_is_passed_over_with_its_reason(with_absent_kernel):
    choice = backend.choose("gru", "cpu")
    assert choice.form.name == "torch"
    assert "not kernel: it needs a device of the future" in choice.reason


def test_asking_for_a_form_that_cannot_run_is_refused(with_absent_kernel):
    message = "backend 'kernel' of op 'gru' cannot run on cpu: it needs a device of the future"
    with pytest.raises(HmlcoreError, match=message):
        backend.choose("gru", "cpu", backend="kernel")


@pytest.mark.parametrize("op", backend.ops())
def test_self_check_accepts_every_form(op):
    for form in backend._FORMS[op]:
        if form.obstacle(torch.device("cpu")) is None:
            assert backend.self_check(backend.Choice(op, form, ""), "cpu") < 1e-5


class ScaledGradient(torch.autograd.Function):
    """The identity, with a wrong gradient."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None


FAULTS = {
    "output a thousandth too large": lambda y: y * 1.001,
    "output NaN": lambda y: y * math.nan,
    "gradient a thousandth too large": lambda y: ScaledGradient.apply(y, 1.001),
    "gradient NaN": lambda y: ScaledGradient.apply(y, math.nan),
}


@pytest.mark.parametrize("op", backend.ops())
@pytest.mark.parametrize("fault", FAULTS)
def test_self_check_sees_a_wrong_form(op, fault):
    form = backend.choose(op, "cpu").form

    def wrong(*args, **kwargs):
        found = form.function(*args, **kwargs)
        return (FAULTS[fault](found[0]), *found[1:]) if isinstance(found, tuple) else FAULTS[fault](found)

    error = backend.self_check(backend.Choice(op, form._replace(function=wrong), ""), "cpu")
    assert error > 1e-4


def test_relative_error():
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])
    assert backend.relative_error(b, a) == pytest.approx(0.1)
    assert backend.relative_error(a, a) == 0
    assert backend.relative_error(a * math.nan, a) == math.inf
