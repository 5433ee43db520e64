"""Many runs: skip what the store has, resume what was interrupted, use several processes, stop in time."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from hmlcore.errors import HmlcoreError, require
from hmlcore.ops.backend import default_device
from hmlcore.results import Store, canonical
from hmlcore.runner.run import checkpoint_path, execute
from hmlcore.runner.select import label
from hmlcore.runner.timed import is_side_by_side, measure, whole_grid
from hmlcore.studies.kit.comparison import task_from
from hmlcore.training import SINGLE_PROCESS, Paused, ProcessGroup
from hmlcore.training.trackers import check_log


@dataclass
class Outcome:
    """What became of a grid's runs: labels of each kind, and the errors that stopped some."""

    stored: int = 0
    made: list[str] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def report(self) -> str:
        """One line for people."""
        parts = [f"{len(self.made)} made", f"{self.stored} already stored"]
        for name, runs in (("paused", self.paused), ("not started", self.left), ("failed", self.failed)):
            if runs:
                parts.append(f"{len(runs)} {name}")
        return ", ".join(parts)


def default_jobs() -> int:
    """One process a core on a CPU, where small models gain nothing from threads; one on a GPU."""
    return 1 if default_device().type == "cuda" else min(8, os.cpu_count() or 1)


def run_grid(
    specs: list[dict],
    store: Store,
    *,
    budget: float | None = None,
    jobs: int = 1,
    force: bool = False,
    log: str | None = None,
    save_models: Path | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> Outcome:
    """Make every run of `specs` that the store lacks.

    A failed run does not stop the others. Ctrl-C saves a checkpoint of each run under way; finished
    runs are in the store already.

    Args:
        budget: seconds; nothing is started after them, and runs under way pause with a checkpoint.
        jobs: processes, which share the cores (or the GPU).
        log: where learning curves go besides the store, a name of ``training.trackers.TRACKERS``.
        save_models: a folder that keeps the model of each run that is made (timings have none).
        group: processes that train each run together, all of which call this with the same arguments.
    """
    check_log(log)
    require(jobs >= 1, f"jobs must be at least 1, got {jobs}")
    require(budget is None or budget > 0, f"budget must be above 0 seconds, got {budget}")
    require(jobs == 1 or group.strategy is None, f"jobs must be 1 with --parallel {group.strategy}, got {jobs}")
    missing = group.broadcast([s for s in specs if not store.has(s)])
    problems = _absent_data(missing)
    # What was interrupted comes first: its work is half done.
    missing.sort(key=lambda s: not checkpoint_path(s).exists())
    missing, problems = group.broadcast((missing, problems))
    outcome = Outcome(stored=len(specs) - len(missing))
    outcome.failed = {label(s): problems[p] for s in missing for p in problems if p in _inputs(s)}
    missing = [s for s in missing if label(s) not in outcome.failed]
    # A tenth is kept back for measuring and storing what finishes just in time.
    deadline = None if budget is None else time.monotonic() + 0.9 * budget
    timed = [s for s in missing if is_side_by_side(s)]
    require(
        not (timed and group.strategy), f"timings are made by one process, without --parallel {group.strategy}"
    )
    missing = [s for s in missing if s not in timed]
    for experiment in dict.fromkeys(s["experiment"] for s in timed):
        anew = whole_grid([s for s in timed if s["experiment"] == experiment])
        outcome.stored -= sum(s in anew and store.has(s) for s in specs)
        _side_by_side(anew, store, outcome, force)
    if missing and jobs == 1:
        _in_this_process(missing, store, outcome, deadline, force, log, save_models, group)
    elif missing:
        _in_processes(missing, store, outcome, deadline, min(jobs, len(missing)), force, log, save_models)
    return outcome


def _side_by_side(specs: list[dict], store: Store, outcome: Outcome, force: bool) -> None:
    """Timings: all of a grid together, in this process alone and before others take the cores."""
    names = [label(s) for s in specs]
    try:
        measure(specs, store, force=force)
        outcome.made += names
    except KeyboardInterrupt:
        outcome.interrupted = True
        outcome.left += names
    except HmlcoreError as error:
        outcome.failed |= dict.fromkeys(names, str(error))


def _inputs(spec: dict) -> set[str]:
    """The tasks a spec learns from, and those it is judged by, as text."""
    return {canonical(task) for task in (*spec["train"], *spec["evaluate"])}


def _absent_data(specs: list[dict]) -> dict[str, str]:
    """Tasks whose data cannot be had here, or whose settings mean nothing → why; asked before any work."""
    problems = {}
    for text in sorted(set().union(*map(_inputs, specs))) if specs else ():
        try:
            entry = json.loads(text)
            task = task_from(entry)
            if "split" not in entry:
                task.provenance()
        except HmlcoreError as error:
            problems[text] = str(error)
    return problems


def _interrupt_once(_signal, _frame) -> None:
    """A second Ctrl-C (the terminal and the parent both send one) must not cut the checkpoint short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


# A Ctrl-C that reached this worker while it was starting up or between two runs.
_asked_to_stop = False


def _idle_worker() -> None:
    def remember(_signal, _frame) -> None:
        global _asked_to_stop
        _asked_to_stop = True

    signal.signal(signal.SIGINT, remember)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Ctrl-C waits; a process started meanwhile is born with it blocked, and says when it is ready."""
    if not hasattr(signal, "pthread_sigmask"):  # not POSIX
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _attempt(
    spec: dict,
    root: Path,
    deadline: float | None,
    force: bool,
    log: str | None,
    models: Path | None,
    threads: int | None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> tuple:
    """Run one spec; what happened as plain data, so that it travels between processes."""
    try:
        if threads is not None:
            torch.set_num_threads(threads)
            signal.signal(signal.SIGINT, _interrupt_once)
            if _asked_to_stop:
                return "left", ""
        execute(
            spec, Store(root), deadline=deadline, force=force, label=label(spec), log=log, save_models=models,
            group=group,
        )  # fmt: skip
        return "made", ""
    except Paused as paused:
        return "paused", str(paused)
    except KeyboardInterrupt:
        return "interrupted", ""
    except HmlcoreError as error:
        return "failed", str(error)
    finally:
        if threads is not None:
            _idle_worker()


def _note(outcome: Outcome, spec: dict, result: tuple, bar: tqdm) -> None:
    kind, detail = result
    name = label(spec)
    if kind == "failed":
        outcome.failed[name] = detail
    elif kind == "interrupted":
        outcome.interrupted = True
        outcome.paused.append(name)
    else:
        getattr(outcome, kind).append(name)
    bar.update()


def _bar(count: int, shown: bool = True) -> tqdm:
    return tqdm(total=count, desc="runs", disable=None if shown else True, unit="run")


def _in_this_process(specs, store, outcome, deadline, force, log, models, group) -> None:
    with _bar(len(specs), group.is_first) as bar:
        for i, spec in enumerate(specs):
            late = group.broadcast(deadline is not None and time.monotonic() >= deadline)
            if late or outcome.interrupted:
                outcome.left += [label(s) for s in specs[i:]]
                return
            bar.set_postfix_str(label(spec))
            _note(outcome, spec, _attempt(spec, store.root, deadline, force, log, models, None, group), bar)


def _in_processes(specs, store, outcome, deadline, jobs, force, log, models) -> None:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    # Threads and CUDA do not survive a fork.
    context = multiprocessing.get_context("spawn")
    waiting, running = list(specs), {}
    with _bar(len(specs)) as bar, ProcessPoolExecutor(jobs, context, _idle_worker) as pool:

        def collect(done: set[Future]) -> None:
            for future in done:
                spec = running.pop(future)
                bar.set_postfix_str(f"last: {label(spec)}")
                try:
                    _note(outcome, spec, future.result(), bar)
                except Exception as error:  # a worker that died: out of memory, say
                    outcome.failed[label(spec)] = f"the worker process died: {error!r}"

        try:
            while waiting or running:
                late = deadline is not None and time.monotonic() >= deadline
                while waiting and len(running) < jobs and not late and not outcome.interrupted:
                    with _interrupts_blocked():
                        future = pool.submit(
                            _attempt, waiting[0], store.root, deadline, force, log, models, threads
                        )
                        running[future] = waiting.pop(0)
                if not running:
                    break
                collect(wait(running, return_when=FIRST_COMPLETED).done)
        except BrokenProcessPool:  # one died and took the others with it; what they ran has failed
            collect(wait(running).done)
        except KeyboardInterrupt:
            # The terminal sends the signal to the workers too; one that came from elsewhere is passed on.
            outcome.interrupted = True
            for process in list((pool._processes or {}).values()):
                os.kill(process.pid, signal.SIGINT)
            collect(wait(running).done)
    outcome.left += [label(s) for s in waiting]
