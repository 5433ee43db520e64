"""`hml doctor` on machines that are not here: no GPU, a GPU that works, a GPU that does not."""

import re
import subprocess
import types
import warnings

import pytest
import torch

from hmlcore import doctor
from hmlcore.errors import HmlcoreError
from hmlcore.ops import backend

CPU = torch.device("cpu")
LISTED = (0, "GPU 0: NVIDIA H200 (UUID: GPU-1)")
NO_CUDA = "this PyTorch is built without CUDA"
TOO_OLD = "The NVIDIA driver on your system is too old"


@pytest.fixture
def machine(monkeypatch):
    """Sets what PyTorch is built for, what its initialisation says, and what nvidia-smi answers."""

    def make(built=None, says="", smi=None, visible=None):
        def init():
            raise RuntimeError(says)

        monkeypatch.setattr(torch.version, "cuda", built)
        monkeypatch.setattr(torch.version, "hip", None)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(doctor, "_nvidia_smi", lambda *_: smi)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return make


WITHOUT = {
    "no GPU": ({}, True, f"CPU: no GPU is seen ({NO_CUDA}; there is no nvidia-smi)"),
    "hidden": ({"built": "13.0", "smi": LISTED, "visible": ""}, True, "CUDA_VISIBLE_DEVICES hides them all"),
    "tools but no GPU": ({"smi": (6, "No devices were found")}, True, "nvidia-smi lists none"),
    "CUDA but no GPU": ({"built": "13.0", "says": "No CUDA GPUs are available"}, True, "No CUDA GPUs are"),
    "wrong build": ({"smi": LISTED}, False, f"NVIDIA H200 .* is here but not used ({NO_CUDA}); delete .venv"),
    "old driver": (
        {"built": "13.0", "says": TOO_OLD, "smi": LISTED}, False, f"{TOO_OLD}); PyTorch is built for CUDA 13.0",
    ),
    "dead driver": (
        {"built": "13.0", "smi": (9, "couldn't communicate\nwith the NVIDIA driver")}, False,
        "nvidia-smi fails (couldn't communicate with the NVIDIA driver); reload or reinstall",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WITHOUT)
def test_why_there_is_no_gpu(case, machine):
    setting, healthy, text = WITHOUT[case]
    machine(**setting)
    finding = doctor.why_no_gpu()
    assert (finding.name, finding.healthy) == ("device", healthy)
    assert re.search(re.escape(text).replace(r"\.\*", ".*"), finding.text), finding.text
    assert "\n" not in finding.text


def test_the_report_says_it_in_one_line(machine):
    machine()
    text, healthy = doctor.report()
    (line,) = [x for x in text.splitlines() if x.startswith("device")]
    assert line == f"device    CPU: no GPU is seen ({NO_CUDA}; there is no nvidia-smi)"
    assert healthy and "BROKEN" not in text
    for package in ("trackio", "wandb", "tensorboard", "flash-linear-attention", "causal-conv1d", "mamba-ssm"):
        assert re.search(rf"^  {package} +(absent|\d)", text, re.MULTILINE)


def test_a_gpu_that_is_not_used_is_a_failure(machine):
    machine(smi=LISTED)
    text, healthy = doctor.report()
    assert not healthy
    assert "device    BROKEN: GPU 0: NVIDIA H200" in text and "the GPU runtime is BROKEN" in text
    assert "all self-checks passed" in text


@pytest.fixture
def h200(machine, monkeypatch):
    """A GPU as PyTorch would describe it; its arithmetic is the CPU's."""
    machine(built="13.0", smi=(0, "580.65.06\n"))
    properties = types.SimpleNamespace(name="NVIDIA H200", major=9, minor=0, total_memory=139 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91000)
    monkeypatch.setattr(torch.cuda, "utilization", lambda *_: 7)
    monkeypatch.setattr(doctor, "_version", lambda name: None)


def test_a_gpu_that_works(h200):
    found = {f.name: f for f in doctor.on_gpu(CPU)}
    assert all(f.healthy for f in found.values()), found
    assert found["device"].text == "NVIDIA H200, compute capability 9.0, 139 GiB"
    assert found["runtime"].text == "CUDA 13.0, driver 580.65.06, cuDNN 91000"
    for precision in ("fp32", "bf16"):
        assert found[precision].text.startswith("a matrix product agrees with the CPU (")
    assert found["triton"].text.startswith("absent: ")
    assert found["nvml"].text == "the GPU is 7% busy"
    assert "no optional package" in found["kernels"].text


def raising(error):
    def function(*_args, **_options):
        raise error

    return function


def test_a_gpu_without_kernels_for_it_is_broken_with_advice(h200, monkeypatch):
    monkeypatch.setattr(
        doctor, "_product", raising(RuntimeError("no kernel image is available\nfor execution"))
    )
    found = {f.name: f for f in doctor.on_gpu(CPU)}
    assert [name for name, f in found.items() if not f.healthy] == ["fp32", "bf16"]
    assert found["fp32"].text.startswith("RuntimeError: no kernel image is available for execution; ")
    assert "make install" in found["fp32"].text


def test_wrong_products_are_noticed(monkeypatch):
    multiply = torch.Tensor.__matmul__
    slightly = lambda a, b: multiply(a, b) * (1.005 if a.dtype == torch.float32 else 1)  # noqa: E731
    monkeypatch.setattr(torch.Tensor, "__matmul__", slightly)
    with pytest.raises(HmlcoreError, match=r"a matrix product is off by 5\.0e-03 \(allowed 0\.001\)"):
        doctor._fp32(CPU)


def test_a_gpu_without_bf16_is_told_not_condemned(h200, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    (bf16,) = [f for f in doctor.on_gpu(CPU) if f.name == "bf16"]
    assert bf16.healthy and "computes none" in bf16.text


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("pynvml"), "pip install nvidia-ml-py"),
        (Exception("Not Supported"), "Not Supported"),
    ],
)
def test_no_readings_of_the_gpu_are_no_illness(h200, monkeypatch, error, said):
    monkeypatch.setattr(torch.cuda, "utilization", raising(error))
    (nvml,) = [f for f in doctor.on_gpu(CPU) if f.name == "nvml"]
    assert nvml.healthy and "cannot be recorded" in nvml.text and said in nvml.text


def test_an_installed_package_that_does_not_import_is_broken(h200, monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: "1.0" if name == "causal-conv1d" else None)
    monkeypatch.setattr(doctor.importlib, "import_module", raising(OSError("undefined symbol")))
    (kernels,) = [f for f in doctor.on_gpu(CPU) if f.name == "kernels"]
    assert not kernels.healthy
    assert "causal-conv1d does not import: OSError: undefined symbol" in kernels.text
    assert "build it anew" in kernels.text


def test_a_triton_that_cannot_compile_is_broken(h200, monkeypatch):
    def probe(_device):
        raise RuntimeError("Failed to find C compiler")

    checks = [c._replace(ask=probe) if c.name == "triton" else c for c in doctor.CHECKS]
    monkeypatch.setattr(doctor, "CHECKS", checks)
    (triton,) = [f for f in doctor.on_gpu(CPU) if not f.healthy]
    assert triton.name == "triton" and "C compiler; it needs a C compiler" in triton.text


def test_a_self_check_that_crashes_is_a_line_not_a_traceback(monkeypatch):
    monkeypatch.setitem(backend._CHECKS, "gru", raising(RuntimeError("illegal\nmemory access")))
    lines, right = doctor._ops(CPU)
    assert not right
    (line,) = [x for x in lines if "WRONG" in x]
    assert re.match(r"  gru +torch +WRONG RuntimeError: illegal memory access ", line)


def test_a_kernel_that_was_passed_over_as_wrong_is_a_failure(monkeypatch):
    choose = backend.choose

    def distrusting(op, device):
        if op == "retention":
            warnings.warn("form 'fla' is off by 3e-1; 'chunk' runs instead", RuntimeWarning, stacklevel=2)
        return choose(op, device)

    monkeypatch.setattr(backend, "choose", distrusting)
    lines, right = doctor._ops(CPU)
    assert not right
    assert [x.strip() for x in lines if "WRONG" in x] == [
        "WRONG form 'fla' is off by 3e-1; 'chunk' runs instead"
    ]


def test_nvidia_smi_that_is_absent_hangs_or_fails(monkeypatch):
    monkeypatch.setattr(subprocess, "run", raising(FileNotFoundError("nvidia-smi")))
    assert doctor._nvidia_smi("-L") is None
    monkeypatch.setattr(subprocess, "run", raising(subprocess.TimeoutExpired("nvidia-smi", 10)))
    code, text = doctor._nvidia_smi("-L")
    assert code == 1 and "timed out" in text
    done = subprocess.CompletedProcess([], 9, stdout="", stderr="no driver\n")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: done)
    assert doctor._nvidia_smi("-L") == (9, "no driver")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_this_gpu():
    found = doctor.on_gpu(torch.device("cuda"))
    assert [f for f in found if not f.healthy] == []
