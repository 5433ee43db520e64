"""`hml`: list, run, verify, bench, figures, book, doctor. Thin: every verb is a few calls into the package."""

import argparse
import errno
import re
import sys
from pathlib import Path

from hmlcore import __version__, paths
from hmlcore.errors import HmlcoreError, require

# Importing torch takes seconds; a verb imports what it needs.


class _Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are one line, like every other."""

    def error(self, message: str):
        self.exit(2, f"hml: {message}; see {self.prog} --help\n")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if all went well, 1 if a run or check failed, 2 for bad input, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return options.verb(options)
    except HmlcoreError as error:
        print(f"hml: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("hml: interrupted; finished runs are in the store", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `hml list | head`
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"hml: the disk is full ({error.filename}); finished runs are in the store", file=sys.stderr)
        return 1


def _list(options) -> int:
    from hmlcore.experiments import EXPERIMENTS, PROFILES
    from hmlcore.layers import MIXERS
    from hmlcore.results import Store
    from hmlcore.tasks import TASKS

    store = Store(paths.results())
    for title, entries in (("mixers", MIXERS), ("tasks", TASKS)):
        print(title)
        for name, cls in sorted(entries.items()):
            print(f"  {name:<18} {_first_line(cls)}")
    print("experiments" + " " * 47 + "".join(f"{p:>14}" for p in PROFILES))
    for experiment in EXPERIMENTS.values():
        counts = []
        for profile in PROFILES:
            specs = experiment.grid(profile)
            counts.append(f"{sum(store.has(s) for s in specs)}/{len(specs)} runs")
        print(f"  {experiment.name:<10} {experiment.question[:44]:<45}" + "".join(f"{c:>14}" for c in counts))
    return 0


def _first_line(cls: type) -> str:
    """The first sentence of a class's own docstring, else of its module's."""
    text = (sys.modules[cls.__module__].__doc__ or cls.__doc__ or "").strip()
    return re.split(r"(?<=[.;])\s|\n", text)[0].rstrip(".;")


def _run(options) -> int:
    from hmlcore.experiments import check_profile, experiments_named, run_grid, select
    from hmlcore.experiments.grid import default_jobs
    from hmlcore.experiments.run import device_name
    from hmlcore.ops.backend import default_device
    from hmlcore.results import Store
    from hmlcore.training.trackers import check_log

    check_profile(options.profile)
    check_log(options.log)
    # One choice over all of a family: what one member lacks, another may have.
    grids = [e.grid(options.profile) for e in experiments_named(options.experiment)]
    specs = select([spec for grid in grids for spec in grid], _only(options.only), options.seeds)
    jobs, folder = default_jobs() if options.jobs is None else options.jobs, options.save_models
    require(jobs >= 1, f"--jobs must be at least 1, got {jobs}")
    require(not folder or not folder.is_file(), f"--save-models takes a folder, and {folder} is a file")
    gpu = f" on {device_name(default_device())}" if default_device().type == "cuda" else ""
    print(f"{options.experiment}, {options.profile} profile: {len(specs)} runs, {jobs} at a time{gpu}")
    outcome = run_grid(
        specs, Store(paths.results()), budget=options.budget, jobs=jobs, force=options.force, log=options.log,
        save_models=folder,
    )  # fmt: skip
    for message in sorted(set(outcome.failed.values())):
        which = [name for name, text in outcome.failed.items() if text == message]
        print(f"hml: {len(which)} runs failed ({which[0]} first): {message}", file=sys.stderr)
    print(outcome.report())
    if outcome.paused or outcome.left:
        print("the same command resumes what was paused and starts what is left")
    if outcome.interrupted:
        return 130
    return 1 if outcome.failed else 0


def _verify(options) -> int:
    from hmlcore.experiments import EXPERIMENTS, check_profile, get_experiment
    from hmlcore.experiments.verify import TOLERANCE, verify
    from hmlcore.results import Store

    check_profile(options.profile)
    names = [get_experiment(n).name for n in options.experiments] or list(EXPERIMENTS)
    verdicts = verify(Store(paths.results()), options.profile, names, options.sample, options.seed)
    for v in verdicts:
        print(
            f"{'ok    ' if v.passed else 'DIFFER'} {v.label} ({v.spec_hash[:16]}): {v.identical} of {v.values} "
            f"values identical, largest difference {v.worst:.2g} (tolerance {TOLERANCE:g})"
        )
    return 0 if all(v.passed for v in verdicts) else 1


def _bench(options) -> int:
    from hmlcore.experiments.bench import bench
    from hmlcore.results import Store

    tables = bench(
        options.profile, Store(paths.results()), only=_only(options.only), lengths=options.lengths,
        force=options.force,
    )  # fmt: skip
    for table in tables:
        print(table, flush=True)
    return 0


def _figures(options) -> int:
    from hmlcore.experiments import check_profile
    from hmlcore.figures.export import export_all
    from hmlcore.results import Store

    check_profile(options.profile)
    exported = export_all(Store(paths.results()), options.profile, options.out)
    for path in exported.files:
        print(path)
    for notice in exported.notices:
        print(f"hml: {notice}", file=sys.stderr)
    return 0 if exported.files else 1


def _book(options) -> int:
    from hmlcore.book import build_book, commit_chapters
    from hmlcore.experiments.base import check_profile

    check_profile(options.profile)
    if options.commit_chapters:
        changed = commit_chapters(options.profile)
        print("\n".join(map(str, changed)) or "the committed chapters are up to date")
        return 0
    print(build_book(options.profile, options.run_missing or None, fresh=options.fresh))
    return 0


def _doctor(options) -> int:
    from hmlcore.doctor import report

    text, healthy = report()
    print(text)
    return 0 if healthy else 1


def _only(pairs: list[str]) -> dict[str, list[str]]:
    """``["mixer=hml,attention", "lr=0.003"]`` to ``{"mixer": ["hml", "attention"], "lr": ["0.003"]}``."""
    chosen: dict[str, list[str]] = {}
    for pair in pairs:
        field, _, values = pair.partition("=")
        require(bool(field and values), f"--only takes FIELD=VALUE[,VALUE...], got {pair!r}")
        chosen.setdefault(field, []).extend(values.split(","))
    return chosen


def duration(text: str) -> float:
    """Seconds in ``90``, ``90s``, ``9m`` or ``1.5h``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration above 0, such as 90s, 9m or 1.5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hml",
        description="Bounded memory for long sequences, measured honestly: run the experiments, read the "
        "store, build the book.",
        epilog="Profiles: smoke (any CPU, minutes), laptop (2 to 8 cores, committed results), full (one GPU).",
    )
    parser.add_argument("--version", action="version", version=f"hmlcore {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def verb(name: str, function, summary: str, details: str = "", profile: str | None = None):
        command = verbs.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {details}".strip()
        )
        command.set_defaults(verb=function)
        if profile:
            command.add_argument(
                "--profile", default=profile, metavar="P", help=f"smoke, laptop or full (default {profile})"
            )
        return command

    verb("list", _list, "show mixers, tasks, experiments, and what the store has of each profile")

    run = verb(
        "run", _run, "make the runs of an experiment that the store lacks",
        "Runs that the store has are skipped; interrupted ones resume from their checkpoint. "
        "Example: hml run copy --profile laptop --only mixer=hml,attention --seeds 0 1 2 --budget 9m --jobs 2",
        profile="smoke",
    )  # fmt: skip
    run.add_argument(
        "experiment", metavar="EXPERIMENT", help="a name that `hml list` shows, or what several begin with: lra"
    )
    run.add_argument(
        "--only", nargs="+", default=[], metavar="FIELD=VALUES",
        help="only runs whose field has one of the values, e.g. mixer=hml,attention lr=0.003; other fields "
        "are seed, d_model, layers, task, corpus, direction",
    )  # fmt: skip
    run.add_argument("--seeds", nargs="+", type=int, metavar="N", help="only these seeds (default: all)")
    run.add_argument(
        "--budget", type=duration, metavar="TIME",
        help="stop in time, saving checkpoints: 90s, 9m, 1.5h (default: no limit)",
    )  # fmt: skip
    run.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a core; one on a GPU)")
    run.add_argument(
        "--log", metavar="TRACKER",
        help="follow learning curves as they grow: terminal, trackio, wandb or tensorboard "
        "(all but the first: pip install hmlcore[log])",
    )  # fmt: skip
    run.add_argument(
        "--save-models", type=Path, metavar="FOLDER",
        help="keep the trained model of each run made here, for `hml generate`; runs that the store has "
        "are skipped as ever",
    )  # fmt: skip
    run.add_argument(
        "--force",
        action="store_true",
        help="allow a full run on a CPU or from uncommitted code; the rows say so",
    )

    check = verb(
        "verify", _verify, "make stored runs again and compare every value", profile="laptop",
        details="On the machine that made them they agree exactly, elsewhere within the tolerance.",
    )  # fmt: skip
    check.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    check.add_argument(
        "--sample", type=int, default=3, metavar="K", help="how many runs, at random (default 3)"
    )
    check.add_argument("--seed", type=int, metavar="N", help="make the choice repeatable")

    bench = verb(
        "bench", _bench, "time every mixer, and every op, side by side, in training and decoding, by length",
        "Prints times a token, their ratios, the machine's floors, which implementation ran and whether the "
        "goals for the ops hold; replaces the stored timings of the profile. Takes under five minutes on two "
        "cores; let the machine do nothing else.",
        profile="laptop",
    )  # fmt: skip
    bench.add_argument(
        "--only", nargs="+", default=[], metavar="FIELD=VALUES",
        help="only these mixers or ops, e.g. mixer=hml,attention or mixer=op:hml-p2,op:sdpa; nothing is stored",
    )  # fmt: skip
    bench.add_argument(
        "--lengths", nargs="+", type=int, metavar="T", help="these lengths in tokens; nothing is stored"
    )
    bench.add_argument("--force", action="store_true", help="allow the full profile on a CPU")

    figures = verb(
        "figures", _figures, "write every figure, table and number of a profile from the store",
        profile="laptop",
        details="Plotly JSON for the book; SVG and PDF for the paper where a Chromium is found.",
    )  # fmt: skip
    figures.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where to (default: the profile's folder in the store)"
    )

    book = verb(
        "book", _book, "execute the chapters by papermill and build the HTML book", profile="laptop",
        details="Prints the path of the first page last.",
    )  # fmt: skip
    book.add_argument(
        "--fresh", action="store_true", help="execute all again; in smoke, make all results again"
    )
    book.add_argument("--run-missing", action="store_true", help="make results that the store lacks")
    book.add_argument(
        "--commit-chapters", action="store_true", help="copy executed chapters to book/chapters instead"
    )

    verb(
        "doctor", _doctor, "verify the GPU runtime, show what is installed, and check the backend of each op",
        "Exit code 1 where something is present but does not work; it says what to do.",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
