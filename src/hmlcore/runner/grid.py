"""Many runs: skip what the store has, resume what was interrupted, use several processes, stop in time."""

import json
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from tqdm import tqdm

from hmlcore import interrupts
from hmlcore.errors import HmlcoreError, lacking, require
from hmlcore.ops.backend import default_device
from hmlcore.results import Store, canonical
from hmlcore.results.claims import sweep_claims
from hmlcore.runner import workers
from hmlcore.runner.run import checkpoint_path, execute
from hmlcore.runner.select import label
from hmlcore.runner.timed import is_side_by_side, measure, whole_grid
from hmlcore.studies.kit.comparison import task_from
from hmlcore.training import SINGLE_PROCESS, Paused, ProcessGroup
from hmlcore.training.trackers import check_log


@dataclass
class Outcome:
    """What became of a grid's runs: labels of each kind, who else makes which, and what stopped some."""

    stored: int = 0
    made: list[str] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    elsewhere: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def report(self) -> str:
        """One line for people."""
        parts = [f"{len(self.made)} made", f"{self.stored} already stored"]
        for name, runs in (
            ("paused", self.paused), ("not started", self.left), ("failed", self.failed),
            ("under way elsewhere", self.elsewhere),
        ):  # fmt: skip
            if runs:
                parts.append(f"{len(runs)} {name}")
        if self.elsewhere:
            parts[-1] += f" ({'; '.join(sorted(set(self.elsewhere.values())))})"
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

    A failed run does not stop the others. Ctrl-C (from the command line SIGTERM and SIGHUP too) saves a
    checkpoint of each run under way; finished runs are in the store already.

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
        _side_by_side([s for s in timed if s["experiment"] == experiment], specs, store, outcome, force)
    if missing and jobs == 1:
        _in_this_process(missing, store, outcome, deadline, force, log, save_models, group)
    elif missing:
        _in_processes(missing, store, outcome, deadline, min(jobs, len(missing)), force, log, save_models)
    if group.is_first:
        _sweep(specs, store)
    return outcome


def _sweep(specs: list[dict], store: Store) -> None:
    """Delete what those left that were killed when their run was stored: the checkpoint, and the claim."""
    for spec in filter(store.has, specs):
        with suppress(OSError):
            checkpoint_path(spec).unlink(missing_ok=True)
    for profile, experiment in sorted({(s["profile"], s["experiment"]) for s in specs}):
        sweep_claims(store.place(profile, experiment).inbox)


def _side_by_side(missing: list[dict], specs: list[dict], store: Store, outcome: Outcome, force: bool) -> None:
    """Timings: all of a grid together, in this process alone and before others take the cores."""
    anew = whole_grid(missing)
    names = [label(s) for s in anew]
    try:
        with store.claim(anew[0]) as holder:  # who has the first measures all
            if holder:
                outcome.elsewhere |= {label(s): holder for s in missing}
                return
            if all(map(store.has, missing)):
                outcome.stored += len(missing)
                return
            outcome.stored -= sum(s in anew and store.has(s) for s in specs)
            measure(anew, store, force=force)
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


def _attempt(
    spec: dict,
    root: Path,
    deadline: float | None,
    force: bool,
    log: str | None,
    models: Path | None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> tuple:
    """Run one spec that nobody else has made or makes; what happened as plain data, which travels."""
    store = Store(root)

    def had() -> tuple | None:
        if holder := claim.enter_context(store.claim(spec)):
            return "elsewhere", holder
        return ("stored", "") if store.has(spec) else None

    try:
        with ExitStack() as claim:
            if found := group.on_first(had):
                return found
            execute(
                spec, store, deadline=deadline, force=force, label=label(spec), log=log, save_models=models,
                group=group,
            )  # fmt: skip
            return "made", ""
    except Paused as paused:
        return "paused", str(paused)
    except KeyboardInterrupt:
        return "interrupted", ""
    except HmlcoreError as error:
        return "failed", str(error)
    except (MemoryError, RuntimeError) as error:  # another run may need less
        # Of several processes the others wait for this one: they end together.
        if group.strategy is not None or not (why := lacking(error)):
            raise
        return "failed", why


def _attempt_in_worker(threads: int, *arguments) -> tuple:
    torch.set_num_threads(threads)
    try:
        with workers.interruptible():
            return _attempt(*arguments)
    except KeyboardInterrupt:  # it came while the worker was starting up or between two runs
        return "left", ""


def _note(outcome: Outcome, spec: dict, result: tuple, bar: tqdm) -> None:
    kind, detail = result
    name = label(spec)
    if kind in ("failed", "elsewhere"):
        getattr(outcome, kind)[name] = detail
    elif kind == "stored":
        outcome.stored += 1
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
            _note(outcome, spec, _attempt(spec, store.root, deadline, force, log, models, group), bar)


def _in_processes(specs, store, outcome, deadline, jobs, force, log, models) -> None:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    waiting, running = list(specs), {}
    with _bar(len(specs)) as bar, workers.pool(jobs) as pool:

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
                    task = threads, waiting[0], store.root, deadline, force, log, models
                    future = workers.submit(pool, _attempt_in_worker, *task)
                    running[future] = waiting.pop(0)
                if not running:
                    break
                collect(wait(running, return_when=FIRST_COMPLETED).done)
        except BrokenProcessPool:  # one died and took the others with it; what they ran has failed
            collect(wait(running).done)
        except KeyboardInterrupt:
            outcome.interrupted = True
            workers.stop(pool, interrupts.asked_by())
            collect(wait(running).done)
    outcome.left += [label(s) for s in waiting]
