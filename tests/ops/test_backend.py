"""Which form of an op runs, and whether a wrong one would be noticed."""

import subprocess
import sys
import warnings

import pytest
import torch
from faults import FAULTS

import hmlcore.ops  # noqa: F401  registers the ops
from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend

FASTEST_ON_CPU = {"attention": "sdpa", "gru": "torch", "hamiltonian": "chunk", "short_conv": "shifted"}


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
    assert chosen() == usual | {"short_conv": "conv1d"}


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


# A kernel of another package, checked on its first use. Stand-ins: torch's GRU, right or spoilt.


@pytest.fixture
def kernel(monkeypatch):
    """kernel(spoil) registers the GRU's torch form as a kernel whose output passes through `spoil`."""
    monkeypatch.setattr(backend, "_VERDICTS", {})
    monkeypatch.setattr(backend, "_WARNED", set())
    forms = backend._FORMS["gru"]
    honest, calls = forms[0].function, []

    def install(spoil):
        def function(*args, **kwargs):
            calls.append(torch.is_grad_enabled())
            y, *rest = honest(*args, **kwargs)
            return (spoil(y), *rest)

        form = backend.Form("kernel", function, backend.anywhere, "a stand-in", kernel=True)
        monkeypatch.setitem(backend._FORMS, "gru", [form, *forms])
        return calls

    return install


def failing(_):
    raise MemoryError("no shared memory left")


SPOILT = FAULTS | {"it fails": failing}


def test_a_right_kernel_is_checked_once_and_says_so(kernel):
    calls = kernel(lambda y: y)
    with warnings.catch_warnings(action="error"):
        choices = [backend.choose("gru", "cpu") for _ in range(3)]
    assert [c.form.name for c in choices] == ["kernel"] * 3 and len(calls) == 1
    assert all(c.reason == choices[0].reason for c in choices)
    assert (
        choices[0].reason.startswith("a stand-in; is within ")
        and "of naive (allowed 0.0001)" in choices[0].reason
    )


@pytest.mark.parametrize("fault", SPOILT)
def test_a_wrong_kernel_gives_way_with_one_warning(kernel, fault):
    calls = kernel(SPOILT[fault])
    found = (
        "fails with MemoryError: no shared memory left" if fault == "it fails" else r"is off by \S+ of naive"
    )
    with pytest.warns(
        RuntimeWarning, match=f"op 'gru': form 'kernel' on cpu {found}.*; 'torch' runs inst"
    ) as seen:
        choices = [backend.choose("gru", "cpu") for _ in range(3)]
    assert len(seen) == 1 and len(calls) == 1
    for choice in choices:
        assert choice.form.name == "torch" and "not kernel: " in choice.reason
    assert ("fails with" if fault == "it fails" else "off by") in choices[0].reason


@pytest.mark.parametrize("source", ["caller", "HMLCORE_BACKEND"])
@pytest.mark.parametrize("fault", SPOILT)
def test_a_wrong_kernel_asked_for_by_name_runs_with_a_warning(kernel, monkeypatch, fault, source):
    kernel(SPOILT[fault])
    asked = "kernel" if source == "caller" else None
    if asked is None:
        monkeypatch.setenv("HMLCORE_BACKEND", "gru=kernel")
    with pytest.warns(RuntimeWarning, match=rf"'kernel' on cpu .*; it runs all the same \(.*{source}") as seen:
        choices = [backend.choose("gru", "cpu", backend=asked) for _ in range(2)]
    assert len(seen) == 1
    assert all(c.form.name == "kernel" and ("off by" in c.reason or "fails" in c.reason) for c in choices)


@pytest.mark.filterwarnings("ignore:op 'gru'")
@pytest.mark.parametrize("spoil", [lambda y: y, failing])
def test_the_check_disturbs_nobody_and_is_disturbed_by_nobody(kernel, spoil):
    """A caller under no_grad, autocast or inference_mode; a kernel that draws random numbers."""
    verdicts = []
    for mode in (torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)):
        backend._VERDICTS.clear()
        calls = kernel(lambda y: spoil(y + 0 * torch.rand(())))
        torch.manual_seed(7)
        before = torch.get_rng_state()
        with mode():
            inside = (
                torch.is_grad_enabled(),
                torch.is_inference_mode_enabled(),
                torch.is_autocast_enabled("cpu"),
            )
            verdicts.append(backend.choose("gru", "cpu").reason)
            assert inside == (
                torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
            )  # fmt: skip
        assert torch.equal(torch.get_rng_state(), before)
        assert calls[-1] is True  # gradients were checked all the same
    assert len(set(verdicts)) == 1


def test_a_kernel_that_chooses_again_does_not_recurse(kernel):
    calls = kernel(lambda y: y if backend.choose("gru", "cpu") else None)
    assert backend.choose("gru", "cpu").form.name == "kernel" and len(calls) == 1


def test_a_mark_for_the_compiler_is_that_of_torch_and_costs_no_import_of_it():
    theirs = torch.compiler.assume_constant_result(lambda: None)
    assert vars(backend._constant(lambda: None)) == vars(theirs) != {}
    code = "import sys, hmlcore.layers, hmlcore.training; sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
