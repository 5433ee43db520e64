"""`hml`: list, run, generate, verify, bench, figures, book, doctor. Thin: a verb is a few calls elsewhere."""

import argparse
import errno
import re
import sys
from contextlib import nullcontext, redirect_stdout

from hmlcore import paths
from hmlcore.arguments import build_parser
from hmlcore.errors import HmlcoreError, require

# Importing torch takes seconds; a verb imports what it needs.


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
    from hmlcore.training import process_group

    arguments = f"run {options.experiment}"
    with (
        process_group(options.parallel, arguments) as group,
        nullcontext() if group.is_first else redirect_stdout(None),
    ):
        return _run_together(options, group)


def _run_together(options, group) -> int:
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
    usual = default_jobs() if group.strategy is None else 1
    jobs, folder = usual if options.jobs is None else options.jobs, options.save_models
    require(jobs >= 1, f"--jobs must be at least 1, got {jobs}")
    require(not folder or not folder.is_file(), f"--save-models takes a folder, and {folder} is a file")
    require(jobs == 1 or group.strategy is None, f"--jobs must be 1 with --parallel, got {jobs}")
    gpu = f" on {device_name(default_device())}" if default_device().type == "cuda" else ""
    gpu += f", by {group.world_size} processes each" if group.strategy else ""
    print(f"{options.experiment}, {options.profile} profile: {len(specs)} runs, {jobs} at a time{gpu}")
    outcome = run_grid(
        specs, Store(paths.results()), budget=options.budget, jobs=jobs, force=options.force, log=options.log,
        save_models=folder, group=group,
    )  # fmt: skip
    for message in sorted(set(outcome.failed.values())) if group.is_first else ():
        which = [name for name, text in outcome.failed.items() if text == message]
        print(f"hml: {len(which)} runs failed ({which[0]} first): {message}", file=sys.stderr)
    print(outcome.report())
    if outcome.paused or outcome.left:
        print("the same command resumes what was paused and starts what is left")
    if outcome.interrupted:
        return 130
    return 1 if outcome.failed else 0


def _generate(options) -> int:
    import torch

    from hmlcore.models.generation import Sampling, stream_text
    from hmlcore.models.saved import load_model
    from hmlcore.ops.backend import default_device
    from hmlcore.tasks.bpe import BPE, ByteTokenizer

    sampling = Sampling(options.temperature, options.top_k, options.top_p)
    device = default_device()
    saved = load_model(options.checkpoint)
    tokenizer = BPE(saved.extra["tokenizer"]) if "tokenizer" in saved.extra else ByteTokenizer()
    model = saved.model.to(device)
    generator = torch.Generator(device)
    if options.seed is None:
        generator.seed()
    else:
        generator.manual_seed(options.seed)
    for text in stream_text(model, tokenizer, options.prompt, options.max_new, sampling, generator):
        print(text, end="", flush=True)
    print()
    return 0


def _verify(options) -> int:
    from hmlcore.experiments import EXPERIMENTS, check_profile, get_experiment
    from hmlcore.experiments.verify import TOLERANCE, verify
    from hmlcore.results import Store

    check_profile(options.profile)
    names = [get_experiment(n).name for n in options.experiments] or list(EXPERIMENTS)
    verdicts = verify(
        Store(paths.results()), options.profile, names, options.sample, options.seed, options.run or ""
    )
    for v in verdicts:
        print(
            f"{'ok    ' if v.passed else 'DIFFER'} {v.label} ({v.spec_hash[:16]}): {v.identical} of {v.values} "
            f"values identical, largest difference {v.worst:.2g} (tolerance {TOLERANCE:g})"
        )
    return 0 if all(v.passed for v in verdicts) else 1


def _show(options) -> int:
    from hmlcore.experiments.lookup import find_run, report
    from hmlcore.results import Store

    print(report(find_run(Store(paths.results()), options.run)))
    return 0


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


def _parser() -> argparse.ArgumentParser:
    return build_parser(
        {
            "list": _list, "run": _run, "generate": _generate, "verify": _verify, "show": _show,
            "bench": _bench,
            "figures": _figures, "book": _book, "doctor": _doctor,
        }
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
