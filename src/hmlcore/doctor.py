"""`hml doctor`: what is installed, what each op will run on, and whether it computes the right thing."""

import importlib.metadata
import os
import platform
import shutil

from hmlcore import paths

_PACKAGES = (
    "torch", "triton", "numpy", "pandas", "pyarrow", "datasets", "plotly", "kaleido", "jupytext",
    "papermill", "jupyter-book", "jupyterlab", "ipywidgets", "nbval",
)  # fmt: skip
# Relative error that single precision explains; a wrong kernel is off by far more.
_TOLERANCE = 1e-4


def report() -> tuple[str, bool]:
    """The whole report as text, and whether every self-check passed."""
    import torch

    import hmlcore.ops  # noqa: F401  registers the ops
    from hmlcore.ops import backend

    device = backend.default_device()
    lines = [
        f"hmlcore   {importlib.metadata.version('hmlcore')}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        f"device    {torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU (no GPU found)'}",
        f"project   {paths.root()}",
        f"results   {paths.results()}",
        f"data      {paths.data() or 'HMLCORE_DATA is not set: real corpora come from the hub if reachable'}",
        f"chromium  {_browser() or 'not found: figures are not written as SVG and PDF, browser tests skip'}",
        f"npm       {shutil.which('npm') or 'not found: pages load MathJax and widgets from a CDN'}",
        "",
        "packages",
    ]
    for package in _PACKAGES:
        try:
            lines.append(f"  {package:<13} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"  {package:<13} absent")
    lines += ["", f"ops on {device.type} (relative error of outputs and gradients against naive)"]
    healthy = True
    for op in backend.ops():
        choice = backend.choose(op, device)
        error = backend.self_check(choice, device)
        good = error <= _TOLERANCE  # False for NaN too
        healthy &= good
        lines.append(
            f"  {op:<15} {choice.form.name:<8} {'ok' if good else 'WRONG'} {error:.1e}   {choice.reason}"
        )
    lines += ["", "all self-checks passed" if healthy else "a self-check FAILED: set HMLCORE_BACKEND=naive"]
    return "\n".join(lines), healthy


def _browser() -> str | None:
    given = os.environ.get("BROWSER_PATH")
    return given or shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
