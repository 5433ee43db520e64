"""experiments/run_lra.sh: what it makes of its arguments, and which `hml` it calls."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "run_lra.sh"
BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="needs bash")


def run(script, *arguments, path=os.environ["PATH"], **environment):
    environment = {"PATH": str(path), "HOME": os.environ.get("HOME", ""), **environment}
    return subprocess.run([BASH, str(script), *arguments], env=environment, capture_output=True, text=True)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{BASH}\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def clone(tmp_path):
    """The script in a clone that has no .venv yet; `hml` on the PATH prints an argument a line."""
    script = tmp_path / "a clone" / "experiments" / "run_lra.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, script)
    program(tmp_path / "bin" / "hml", 'printf "%s\\n" "$@"')
    return script


@pytest.fixture
def path(tmp_path):
    return f"{tmp_path / 'bin'}:/usr/bin:/bin"


CALLS = {
    "one": (("listops", "hml", "laptop", "0 1 2"),
            "--profile laptop --only task=listops mixer=hml --seeds 0 1 2"),
    "several and commas": (("listops", "hml,gru", "full", "0,1"),
                           "--profile full --only task=listops mixer=hml,gru --seeds 0 1"),
    "all mixers": (("listops", "all", "smoke", "0"), "--profile smoke --only task=listops --seeds 0"),
    "everything": (("all", "all", "smoke", "all"), "--profile smoke"),
    "passed on": (("listops", "hml", "smoke", "all", "--budget", "9m", "--log", "terminal"),
                  "--profile smoke --only task=listops mixer=hml --budget 9m --log terminal"),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_arguments_become_one_command(case, clone, path):
    given, wanted = CALLS[case]
    done = run(clone, *given, path=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["run", "lra", *wanted.split()]


def test_that_command_is_one_that_hml_takes(clone, path):
    from hmlcore import cli

    for given, _ in CALLS.values():
        options = cli._parser().parse_args(run(clone, *given, path=path).stdout.splitlines())
        assert options.experiment == "lra"


@pytest.mark.parametrize("given", [(), ("listops", "hml", "smoke"), ("listops", "hml", "smoke", ""), ("",) * 4])
def test_too_little_shows_the_usage(given, clone, path):
    done = run(clone, *given, path=path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: experiments/run_lra.sh TASK MIXER PROFILE SEEDS")


def test_the_clones_own_hml_comes_first(clone, path):
    program(clone.parents[1] / ".venv" / "bin" / "hml", "echo own")
    assert run(clone, "listops", "hml", "smoke", "0", path=path).stdout == "own\n"


def test_a_fresh_clone_is_installed_first(clone, tmp_path):
    """Nothing on the PATH either: `make install` makes .venv."""
    tools = tmp_path / "tools"
    for tool in ("bash", "cat", "dirname", "env"):
        (tools / tool).parent.mkdir(exist_ok=True)
        (tools / tool).symlink_to(shutil.which(tool))
    program(tmp_path / "made", 'echo "made $@"')
    program(tools / "make", f'echo "$@"; {shutil.which("mkdir")} -p "$2/.venv/bin"; '
            f'{shutil.which("cp")} {tmp_path}/made "$2/.venv/bin/hml"')  # fmt: skip
    done = run(clone, "listops", "hml", "smoke", "0", path=tools)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"-C {clone.parents[1]} install\n"
    assert done.stdout.startswith("made run lra --profile smoke")


def test_the_exit_code_is_hmls(clone, path, tmp_path):
    program(tmp_path / "bin" / "hml", "exit 130")
    assert run(clone, "listops", "hml", "smoke", "0", path=path).returncode == 130


def test_the_real_one_refuses_what_is_unknown(clone, tmp_path):
    program(tmp_path / "bin" / "hml", f'exec "{sys.executable}" -m hmlcore.cli "$@"')
    done = run(
        clone, "chess", "all", "smoke", "0", path=f"{tmp_path / 'bin'}:/usr/bin:/bin",
        HMLCORE_RESULTS=str(tmp_path / "results"), PYTHONPATH=os.pathsep.join(sys.path),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "hml: unknown task in --only 'chess'; known: imdb, listops\n"


def test_it_can_be_run_as_it_is_and_is_clean():
    assert os.access(SCRIPT, os.X_OK)
    parsed = subprocess.run([BASH, "-n", str(SCRIPT)], capture_output=True, text=True)
    assert parsed.returncode == 0, parsed.stderr
    if (checker := shutil.which("shellcheck")) is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([checker, str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
