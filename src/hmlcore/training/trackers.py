"""Where a learning curve goes besides the store: the terminal, trackio, Weights & Biases or TensorBoard.

A tracker is company for a run, never a condition of it: one that fails is given up with one warning.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tqdm import tqdm

from hmlcore import paths
from hmlcore.checks import check_choice
from hmlcore.optional import need
from hmlcore.results import canonical, spec_hash
from hmlcore.training.settings import cooling_down

PROJECT = "hmlcore"
_PATIENCE = 30  # seconds that a server gets to answer before a run starts without it
# Trackers that could not be opened; waiting for the same server before each run of a grid helps nobody.
_given_up: set[str] = set()


class Sink(NamedTuple):
    """An open tracker: `log(step, values)` for each point of the curve, then `close()`."""

    log: Callable[[int, dict[str, float]], None]
    close: Callable[[], None]


class Kind(NamedTuple):
    """One way to follow a run: `open(spec, label)`, the package that it needs, and what it does."""

    open: Callable[[dict, str], Sink]
    package: str | None
    why: str


def run_name(spec: dict) -> str:
    """What trackers call a run; the hash keeps apart what differs in nothing that the name shows."""
    return f"{spec['experiment']}-{spec['mixer']}-lr{spec['lr']:g}-seed{spec['seed']}-{spec_hash(spec)[:8]}"


def line(label: str, step: int, values: dict[str, float]) -> str:
    """One point of a curve for people; what is unknown is left out."""
    parts = [label, f"step {step}"]
    for name, text in (
        ("loss", "loss {:.4f}"), ("accuracy", "accuracy {:.3f}"), ("tokens_per_s", "{:,.0f} tokens/s"),
        ("gpu_utilisation", "GPU {:.0%}"),
    ):  # fmt: skip
        if name in values:
            parts.append(text.format(values[name]))
    if "peak_memory_bytes" in values:
        parts.append(f"peak {values['peak_memory_bytes'] / 1e6:,.0f} MB")
    if "solved" in values:
        parts.append(cooling_down(int(values["solved"])))
    return "  ".join(parts)


def _terminal(spec: dict, label: str) -> Sink:
    # tqdm's own print leaves a progress bar in one piece, and is a plain one where there is no bar.
    def log(step: int, values: dict[str, float]) -> None:
        tqdm.write(line(label or run_name(spec), step, values), file=sys.stderr)

    return Sink(log, lambda: None)


def _trackio(spec: dict, _label: str) -> Sink:
    import trackio  # pyright: ignore[reportMissingImports] # asked for by name, installed by who asks

    # "allow": a run that was paused goes on in the same curve.
    run = trackio.init(
        project=PROJECT, name=run_name(spec), group=spec["experiment"], config=spec, resume="allow", embed=False
    )  # fmt: skip
    return Sink(lambda step, values: run.log(values, step=step), trackio.finish)


def _wandb(spec: dict, _label: str) -> Sink:
    import wandb  # pyright: ignore[reportMissingImports]

    folder = paths.runs()
    folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project=PROJECT, name=run_name(spec), id=run_name(spec), group=spec["experiment"], config=spec,
        resume="allow", dir=str(folder), settings=wandb.Settings(init_timeout=_PATIENCE),
    )  # fmt: skip
    return Sink(lambda step, values: run.log(values, step=step), run.finish)


def _tensorboard(spec: dict, _label: str) -> Sink:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(paths.runs() / "tensorboard" / run_name(spec)))
    writer.add_text("spec", canonical(spec))

    def log(step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return Sink(log, writer.close)


TRACKERS: dict[str, Kind] = {
    "terminal": Kind(_terminal, None, "a line for each point of the curve, on standard error"),
    "trackio": Kind(_trackio, "trackio", "local dashboard: trackio show --project hmlcore"),
    "wandb": Kind(_wandb, "wandb", "Weights & Biases; files in runs/wandb, WANDB_MODE=offline without network"),
    "tensorboard": Kind(_tensorboard, "tensorboard", "event files: tensorboard --logdir runs/tensorboard"),
}


def check_log(name: str | None) -> None:
    """Refuse, before any work, a tracker that is unknown or whose package is absent; None is fine."""
    if name is None:
        return
    check_choice("tracker in --log", name, TRACKERS)
    if package := TRACKERS[name].package:
        need(f"--log {name}", "log", package)


class Tracker:
    """A sink that may fail without the run noticing: the first failure is one line, then it is silent."""

    def __init__(self, name: str | None, spec: dict, label: str):
        self._name = name
        self._sink: Sink | None = None
        if name is not None and name not in _given_up:
            self._sink = self._attempt(TRACKERS[name].open, spec, label)
            if self._sink is None:
                _given_up.add(name)

    def log(self, step: int, values: dict[str, float]) -> None:
        """Pass on one point of the curve."""
        if self._sink is not None:
            self._attempt(self._sink.log, step, values)

    def close(self) -> None:
        """Finish what was passed on."""
        if self._sink is not None:
            self._attempt(self._sink.close)

    def _attempt(self, function: Callable, *arguments):
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output is the command's own
                return function(*arguments)
        except Exception as error:  # the network, the disk, a server's refusal: anything
            self._sink = None
            why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            tqdm.write(f"hml: --log {self._name} stopped, the run goes on: {why}", file=sys.stderr)
            return None


@contextmanager
def open_tracker(name: str | None, spec: dict, label: str = "") -> Iterator[Tracker]:
    """The tracker called `name` for the run `spec`, closed at the end; None follows nothing.

    Raises: HmlcoreError for a tracker that is unknown or not installed.
    """
    check_log(name)
    tracker = Tracker(name, spec, label)
    try:
        yield tracker
    finally:
        tracker.close()
