"""Commands that are asked to stop, or whose parent is killed: nothing is lost and nobody stays behind."""

import os
import signal
import time
from contextlib import contextmanager

import pytest
from tiny_grids import command, context, make_on_terminal
from tiny_runs import tiny

from hmlcore.results import Store
from hmlcore.runner.run import checkpoint_path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and terminals are POSIX")
LONG = "run copy --log terminal"
UNDER_WAY = "  step 250  "
RESUMES = "the same command resumes what was paused and starts what is left\n"


@contextmanager
def started(arguments, output):
    """A command that prints to `output`, in a process group of its own as in a terminal."""
    folders = {name: os.environ[name] for name in ("HMLCORE_RESULTS", "HMLCORE_CHECKPOINTS")}
    process = context().Process(target=command, args=(arguments.split(), output, folders))
    process.start()
    try:
        yield process
    finally:
        if process.exitcode is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.join()


def await_text(text, output, process):
    while text not in (output.read_text() if output.exists() else ""):
        assert process.exitcode is None, output.read_text()
        time.sleep(0.02)


def alone_in_its_group(process, seconds=30):
    """No worker outlives the command."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("signum", "send"), [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_request_reaches_the_workers_and_leaves_a_checkpoint(signum, send, own_folders):
    """A terminal sends Ctrl-C to the whole group; a scheduler, its SIGTERM, knows the command alone."""
    output = own_folders / "output"
    with started(f"{LONG} --jobs 2", output) as process:
        await_text(UNDER_WAY, output, process)
        send(process.pid, signum)
        process.join(60)
        assert process.exitcode == 128 + signum, output.read_text()
    said = output.read_text()
    assert said.endswith("0 made, 0 already stored, 1 paused\n" + RESUMES) and "Traceback" not in said
    assert len(list((own_folders / "checkpoints").iterdir())) == 1 and alone_in_its_group(process)


def test_ctrl_c_at_once_is_as_quiet(own_folders):
    """While the worker is still starting, when Python would print a traceback."""
    output = own_folders / "output"
    with started(f"{LONG} --jobs 2", output) as process:
        await_text("copy, smoke profile: 1 runs, 2 at a time\n", output, process)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        process.join()
        assert process.exitcode == 130, output.read_text()
    assert output.read_text().splitlines()[1].startswith("0 made, 0 already stored, 1 ")
    assert not Store(own_folders / "results").has_any("smoke", "copy") and alone_in_its_group(process)


def test_workers_end_with_a_parent_that_is_killed(own_folders):
    """At once, and so does the output that a reader of the command waits for."""
    output = own_folders / "output"
    with started(f"{LONG} --jobs 2", output) as process:
        await_text(UNDER_WAY, output, process)
        process.kill()
        process.join()  # or the group would be killed here, workers and all
    assert process.exitcode == -signal.SIGKILL and alone_in_its_group(process, seconds=10)


def test_a_closed_terminal_is_a_request(own_folders):
    """Nothing can be printed any more; the checkpoint is written all the same."""
    terminal, end = os.openpty()
    spec = tiny(steps=100_000)
    process = context().Process(target=make_on_terminal, args=(os.ttyname(end), [spec], own_folders))
    process.start()
    try:
        while not checkpoint_path(spec).exists():
            time.sleep(0.02)
        os.close(end)
        os.close(terminal)
        os.kill(process.pid, signal.SIGHUP)
        process.join(60)
        assert process.exitcode == 0, "the grid went on, or had an error"
    finally:
        process.kill()
        process.join()
    assert checkpoint_path(spec).exists() and not Store(own_folders / "results").has(spec)
