"""Make .venv and node_modules: everything the book and the tests need, and nothing twice.

Runs on the standard library of any Python >= 3.11, before anything is installed.
torch goes in first, in the build that fits the machine: a later package would otherwise pull in
several gigabytes of CUDA on a machine without a GPU.
A stamp in each folder holds a hash of what decides its content, so that a second run needs no network.
A folder that was not made here is never emptied.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import MutableMapping
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PIP = [str(PYTHON), "-m", "pip", "--disable-pip-version-check"]
CONSTRAINTS = ROOT / "constraints.txt"
NODE_MODULES = ROOT / "node_modules"
STAMP = "hmlcore-installed"
MADE = "hmlcore-made"


class SetupError(Exception):
    """A step failed; the message says which and what to do."""


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


def run(command: list[str], step: str) -> None:
    """Run `command` with its output shown, or raise :class:`SetupError` naming `step`."""
    if code := subprocess.run(command, cwd=ROOT).returncode:
        raise SetupError(f"{step} failed (exit status {code}); the lines above say why")


def answer(command: list[str]) -> str | None:
    """Standard output of `command`, or None where it is missing or fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", errors="replace")
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def fingerprint(*parts: str | Path) -> str:
    """SHA-256 over texts and file contents."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def up_to_date(stamp: Path, key: str) -> bool:
    return stamp.is_file() and stamp.read_text("utf-8") == key


def is_ours(folder: Path, mark: str) -> bool:
    """Whether `folder` may be emptied: it has our `mark`, it holds nothing, or there is none."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        return False
    return not folder.exists() or (folder / mark).is_file() or not any(folder.iterdir())


def shield(environment: MutableMapping[str, str]) -> None:
    """Take out what would change how packages are installed, as the Makefile does, but not where from."""
    lines = (ROOT / "Makefile").read_text("utf-8")
    leaks, sources = (
        re.search(rf"^{name} *:= (.*)$", lines, re.MULTILINE)[1].replace("%", "*").split()
        for name in ("LEAKS", "SOURCES")
    )
    for name in list(environment):
        if any(fnmatchcase(name, p) for p in leaks) and not any(fnmatchcase(name, p) for p in sources):
            del environment[name]
    environment["PIP_USER"] = "0"  # a configuration file may say otherwise


def torch_pin() -> str:
    """The requirement ``torch==…`` that constraints.txt names."""
    return next(line for line in CONSTRAINTS.read_text("utf-8").split() if line.startswith("torch=="))


def torch_installer(gpu: bool, offered: str | None, system: str) -> str:
    """``"pip"`` or ``"uv"``: who fetches torch.

    pip is right where there is a GPU, off Linux (those wheels carry no CUDA), and where the wheel
    that pip would take (`offered`, a version) is a CPU build already.  Otherwise uv knows where the
    CPU builds are.
    """
    return "pip" if gpu or system != "Linux" or "+cpu" in (offered or "") else "uv"


def offered_torch(pin: str) -> str | None:
    """The version that pip would install for `pin`, e.g. ``2.13.0+cpu``."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [*PIP, "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
        if answer([*command, "--report", str(report), pin]) is None or not report.is_file():
            return None
        return json.loads(report.read_text("utf-8"))["install"][0]["metadata"]["version"]


def make_venv() -> None:
    """Create .venv, or renew one whose Python no longer runs (a moved or copied project)."""
    prefix = answer([str(PYTHON), "-c", "import sys; print(sys.prefix)"])
    if prefix and Path(prefix).resolve() == VENV.resolve():
        return
    if not is_ours(VENV, MADE):
        raise SetupError(f"{VENV} does not work, and was not made here: move it elsewhere, then run this again")
    say(f"creating .venv with Python {platform.python_version()} ({sys.executable})")
    VENV.mkdir(exist_ok=True)
    (VENV / MADE).touch()
    for entry in VENV.iterdir():  # not `venv --clear`, which would take the mark away
        if entry.name != MADE:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)]).returncode:
        raise SetupError(
            f"{sys.executable} cannot create a virtual environment; on Debian and Ubuntu: "
            "apt install python3-venv (then run the same command again)"
        )


def install_torch() -> None:
    pin = torch_pin()
    version = "import importlib.metadata as m; print(m.version('torch'))"
    if (answer([str(PYTHON), "-c", version]) or "").split("+")[0] == pin.removeprefix("torch=="):
        return
    gpu = bool(answer(["nvidia-smi", "-L"]))
    say(f"installing {pin} for {'an NVIDIA GPU' if gpu else 'the CPU (no NVIDIA GPU found)'}")
    pip = [*PIP, "install", "-c", str(CONSTRAINTS), pin]
    if torch_installer(gpu, None if gpu else offered_torch(pin), platform.system()) == "uv":
        uv = [str(PYTHON), "-m", "uv", "pip", "install", "--python", str(PYTHON), "--torch-backend=cpu"]
        run([*PIP, "install", "--quiet", "uv"], "installing uv")
        if subprocess.run([*uv, "-c", str(CONSTRAINTS), pin], cwd=ROOT).returncode == 0:
            return
        say("no CPU-only build of torch could be fetched: taking pip's, with several GB of CUDA libraries")
    run(pip, "installing torch")


def install_packages() -> None:
    stamp = VENV / STAMP
    build = (ROOT / name for name in ("pyproject.toml", "setup.py", "CITATION.cff"))
    key = fingerprint(str(ROOT), *build, CONSTRAINTS, Path(__file__))
    make_venv()
    if up_to_date(stamp, key):
        return
    stamp.unlink(missing_ok=True)
    install_torch()
    say("installing hmlcore with what its book and tests need (pinned in constraints.txt)")
    run([*PIP, "install", "-c", str(CONSTRAINTS), "-e", f"{ROOT}[book,test]"], "installing hmlcore")
    stamp.write_text(key, "utf-8")


def install_scripts() -> None:
    """MathJax and the widget manager, so that the book's pages ask nothing of the network."""
    stamp = NODE_MODULES / STAMP
    key = fingerprint(ROOT / "package-lock.json")
    if up_to_date(stamp, key):
        return
    npm, otherwise = shutil.which("npm"), "pages will load MathJax and widget scripts from a CDN"
    if npm is None:
        say(f"npm not found: {otherwise} (Node.js avoids it)")
        return
    if not is_ours(NODE_MODULES, STAMP):
        say(f"{NODE_MODULES} was not made here, and npm would empty it: {otherwise}")
        return
    say("fetching MathJax and the widget manager with npm")
    made = False
    try:
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        made = subprocess.run(command, cwd=ROOT).returncode == 0
    finally:
        if NODE_MODULES.is_dir():
            stamp.write_text(key if made else "", "utf-8")
    if not made:
        say(f"npm failed: {otherwise} until it works")


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    shield(os.environ)
    try:
        install_packages()
        install_scripts()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
