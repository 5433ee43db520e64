"""`hml doctor`: what is installed, whether the GPU works, what each op will run on and whether it is right."""

import importlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch

from hmlcore import __version__, paths
from hmlcore.errors import require

_PACKAGES = (
    "torch", "triton", "numpy", "pandas", "pyarrow", "datasets", "plotly", "kaleido", "jupytext",
    "papermill", "jupyter-book", "jupyterlab", "ipywidgets", "nbval",
)  # fmt: skip
_TRACKERS = ("trackio", "wandb", "tensorboard")
# Distributions that are of use on a GPU → the module that must import there.
_FOR_GPUS = {
    "flash-linear-attention": "fla", "fla-core": "fla", "causal-conv1d": "causal_conv1d",
    "mamba-ssm": "mamba_ssm", "nvidia-ml-py": "pynvml",
}  # fmt: skip


class Finding(NamedTuple):
    """One line of the report about the GPU runtime."""

    name: str
    text: str
    healthy: bool = True


class Check(NamedTuple):
    """A question to the GPU runtime: `ask(device)` tells, or raises where something is broken."""

    name: str
    ask: Callable[[torch.device], str]
    advice: str


def report() -> tuple[str, bool]:
    """The whole report as text, and whether every check passed."""
    import hmlcore.ops  # noqa: F401  registers the ops
    from hmlcore.ops import backend

    with warnings.catch_warnings():  # what torch warns of here, an old driver, is said below
        warnings.simplefilter("ignore")
        device = backend.default_device()
        found = on_gpu(device) if device.type == "cuda" else [why_no_gpu()]
    lines = [
        f"hmlcore   {__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        f"project   {paths.root()}",
        f"results   {paths.results()}",
        f"data      {paths.data() or 'HMLCORE_DATA is not set: real corpora come from the hub if reachable'}",
        f"chromium  {_browser() or 'not found: figures are not written as SVG and PDF, browser tests skip'}",
        f"npm       {shutil.which('npm') or 'not found: pages load MathJax and widgets from a CDN'}",
        *(f"{f.name:<9} {'' if f.healthy else 'BROKEN: '}{f.text}" for f in found),
    ]
    for title, names in (
        ("packages", _PACKAGES), ("trackers for hml run --log", _TRACKERS), ("for GPUs", _FOR_GPUS)
    ):  # fmt: skip
        lines += ["", title, *(f"  {name:<23} {_version(name) or 'absent'}" for name in names)]
    lines += ["", f"ops on {device.type} (relative error of outputs and gradients against naive)"]
    about_ops, right = _ops(device)
    healthy = right and all(f.healthy for f in found)
    lines += [*about_ops, ""]
    if not all(f.healthy for f in found):
        lines.append("the GPU runtime is BROKEN: see above")
    lines.append("all self-checks passed" if right else "a self-check FAILED: set HMLCORE_BACKEND=naive")
    return "\n".join(lines), healthy


def _ops(device: torch.device) -> tuple[list[str], bool]:
    """A line for each op, and whether all that was chosen or passed over computes the right thing."""
    from hmlcore.ops import backend

    lines, right = [], True
    for op in backend.ops():
        with warnings.catch_warnings(record=True) as distrusted:  # an installed kernel that fails its check
            warnings.simplefilter("always")
            choice = backend.choose(op, device)
        try:
            error = backend.self_check(choice, device)
            good, found = error <= choice.form.tolerance, f"{error:.1e}"  # False for NaN too
        except Exception as failure:  # a broken runtime fails in ways of its own
            good, found = False, _brief(failure)
        verdict = "ok" if good else "WRONG"
        lines.append(f"  {op:<15} {choice.form.name:<8} {verdict} {found}   {choice.reason}")
        lines += [f"  {'':<15} WRONG {warning.message}" for warning in distrusted]
        right &= good and not distrusted
    return lines, right


def why_no_gpu() -> Finding:
    """Why runs use the CPU; broken where there is a GPU that PyTorch cannot use, or a driver that fails."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return Finding("device", "CPU: no GPU is seen (CUDA_VISIBLE_DEVICES hides them all)")
    build = torch.version.cuda or torch.version.hip
    reason = "this PyTorch is built without CUDA"
    advice = "delete .venv and run make install, which takes a build with CUDA where nvidia-smi lists a GPU"
    if build:
        reason = "PyTorch finds none"
        advice = f"PyTorch is built for CUDA {build}: install a driver that supports it"
        try:
            torch.cuda.init()
        except Exception as failure:
            reason = _brief(failure)
    answer = _nvidia_smi("-L")
    if answer is None:
        return Finding("device", f"CPU: no GPU is seen ({reason}; there is no nvidia-smi)")
    code, text = answer
    if text.startswith("GPU "):
        return Finding("device", f"{text.splitlines()[0]} is here but not used ({reason}); {advice}", False)
    if code == 0 or "no devices" in text.lower():
        return Finding("device", f"CPU: no GPU is seen ({reason}; nvidia-smi lists none)")
    said = " ".join(text.split())[:200]
    return Finding("device", f"nvidia-smi fails ({said}); reload or reinstall the NVIDIA driver", False)


def on_gpu(device: torch.device) -> list[Finding]:
    """Every check of the GPU runtime; one that raises is a broken one."""
    found = []
    for check in CHECKS:
        try:
            found.append(Finding(check.name, check.ask(device)))
        except Exception as failure:  # CUDA, Triton and their packages have errors of their own
            found.append(Finding(check.name, f"{_brief(failure)}; {check.advice}", False))
    return found


def _hardware(device: torch.device) -> str:
    p = torch.cuda.get_device_properties(device)
    return f"{p.name}, compute capability {p.major}.{p.minor}, {p.total_memory / 2**30:.0f} GiB"


def _software(_: torch.device) -> str:
    code, text = _nvidia_smi("--query-gpu=driver_version", "--format=csv,noheader") or (1, "")
    driver = text.split()[0] if code == 0 and text else "unknown"
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    return f"{build}, driver {driver}, cuDNN {torch.backends.cudnn.version() or 'absent'}"


def _product(device: torch.device, dtype: torch.dtype, tolerance: float) -> str:
    """A matrix product on `device` against float64 on the CPU. Raises: HmlcoreError where it is off."""
    from hmlcore.ops.backend import relative_error

    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator).to(dtype) for _ in range(2))
    error = relative_error(a.to(device) @ b.to(device), a.double() @ b.double())
    require(error <= tolerance, f"a matrix product is off by {error:.1e} (allowed {tolerance:g})")
    return f"a matrix product agrees with the CPU ({error:.1e})"


def _fp32(device: torch.device) -> str:
    return _product(device, torch.float32, 1e-3)  # TF32, if somebody asked for it, included


def _bf16(device: torch.device) -> str:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        return "this GPU computes none; full profiles ask for it and will be slow"
    return _product(device, torch.bfloat16, 1e-2)


def _triton(device: torch.device) -> str:
    version = _version("triton")
    if version is None:
        return "absent: kernels of hmlcore[gpu] cannot run, PyTorch's own forms do"
    from hmlcore.ops.triton_probe import multiply_add

    x, y = torch.arange(300.0), torch.ones(300)
    require(torch.equal(multiply_add(x.to(device), y.to(device)).cpu(), 2 * x + y), "a kernel computes wrongly")
    return f"{version}, a kernel compiles and computes the right thing"


def _nvml(device: torch.device) -> str:
    # Readings of how busy the GPU is are worth having, not needed: nothing here is an error.
    try:
        return f"the GPU is {torch.cuda.utilization(device)}% busy"
    except ModuleNotFoundError:
        return "how busy the GPU is cannot be recorded: pip install nvidia-ml-py, which hmlcore[gpu] has"
    except Exception as failure:
        return f"how busy the GPU is cannot be recorded: {_brief(failure)}"


def _kernels(_: torch.device) -> str:
    """Imports every installed package of `_FOR_GPUS`; an ImportError says which one does not fit."""
    present = {name: module for name, module in _FOR_GPUS.items() if _version(name)}
    for name, module in present.items():
        try:
            importlib.import_module(module)
        except Exception as failure:
            raise ImportError(f"{name} does not import: {_brief(failure)}") from failure
    return f"{', '.join(present)} import" if present else "no optional package is installed (hmlcore[gpu])"


_REBUILD = "this PyTorch may have no kernels for this GPU: delete .venv and run make install"
CHECKS = (
    Check("device", _hardware, _REBUILD),
    Check("runtime", _software, "reinstall the NVIDIA driver"),
    Check("fp32", _fp32, _REBUILD),
    Check("bf16", _bf16, _REBUILD),
    Check("triton", _triton, "it needs a C compiler and Python's headers; or set HMLCORE_BACKEND=naive"),
    Check("nvml", _nvml, ""),
    Check("kernels", _kernels, "build it anew for the installed PyTorch, or uninstall it"),
)


def _nvidia_smi(*arguments: str) -> tuple[int, str] | None:
    """Exit code and text of nvidia-smi; None where there is none."""
    try:
        done = subprocess.run(["nvidia-smi", *arguments], capture_output=True, text=True, timeout=10)
    except FileNotFoundError:
        return None
    except (OSError, subprocess.TimeoutExpired) as failure:
        return 1, _brief(failure)
    return done.returncode, (done.stdout + done.stderr).strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _brief(failure: Exception) -> str:
    """An exception on one line."""
    return f"{type(failure).__name__}: {' '.join(str(failure).split())[:200]}"


def _browser() -> str | None:
    given = os.environ.get("BROWSER_PATH")
    return given or shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
