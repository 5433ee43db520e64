"""`hml`: a verb is a few calls elsewhere. Which there are is said in :mod:`hmlcore.arguments`."""

import argparse
import io
import re
import sys
from contextlib import nullcontext, redirect_stdout

from hmlcore import interrupts, paths
from hmlcore.arguments import build_parser, fields_of
from hmlcore.checks import check_int, check_optional, check_seed
from hmlcore.errors import HmlcoreError, lacking, one_line, require
from hmlcore.explorers.command import explore
from hmlcore.files import make_folder
from hmlcore.runner.ledger import ledger

# Importing torch takes seconds; a verb imports what it needs.


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 if all went well, 1 if a run or check failed, 2 for bad input; asked to stop, 128 and
    the signal: 130 for Ctrl-C, 143 for SIGTERM, 129 for a terminal that was closed."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a character gets its number
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        with interrupts.listening():
            return options.verb(options)
    except HmlcoreError as error:
        return _ended(2, one_line(error))
    except ModuleNotFoundError as error:
        if (error.name or "hmlcore").split(".")[0] == "hmlcore":
            raise
        return _ended(2, f"the package {error.name!r} is not installed: pip install 'hmlcore[book,hf,log]'")
    except KeyboardInterrupt:
        return _ended(128 + interrupts.asked_by(), "interrupted; finished runs are in the store")
    except BrokenPipeError:  # `hml list | head`
        sys.stderr.close()
        return 0
    except (OSError, MemoryError, RuntimeError) as error:
        if not (why := lacking(error)):
            raise
        return _ended(1, f"{one_line(why)}; finished runs are in the store")


def _ended(code: int, why: str) -> int:
    print(f"hml: {why}", file=sys.stderr)
    return code


def _list(options) -> int:
    from hmlcore.results import Store
    from hmlcore.runner.catalogue import listing

    print(listing(Store(paths.results())))
    return 0


def _status(options) -> int:
    from hmlcore.results import Store
    from hmlcore.runner.status import report, states

    found = states(Store(paths.results()), options.profile, _named(options))
    print(report(found, options.profile))
    return int(options.check and any(state.word != "fresh" for state in found))


def _plan(options) -> int:
    from hmlcore.results import Store
    from hmlcore.runner.plan import plan

    names = _named(options)
    print(plan(Store(paths.results()), options.profile, names, options.tflops, options.utilisation).text())
    return 0


def _named(options) -> list[str]:
    """The experiments that were asked for, all where none was named; refuses an unknown profile first."""
    from hmlcore.studies import experiments, experiments_named
    from hmlcore.studies.kit.study import check_profile

    check_profile(options.profile)
    return [e.name for n in options.experiments for e in experiments_named(n)] or list(experiments())


def _run(options) -> int:
    from hmlcore.studies import experiments_named
    from hmlcore.studies.kit.study import check_profile

    check_profile(options.profile)
    experiments_named(options.experiment)  # a slip of the pen is told before torch is imported
    from hmlcore.training import process_group

    with (
        process_group(options.parallel, f"run {options.experiment}") as group,
        nullcontext() if group.is_first else redirect_stdout(None),
    ):
        return _run_together(options, group)


def _run_together(options, group) -> int:
    from hmlcore.ops.backend import default_device
    from hmlcore.results import Store
    from hmlcore.runner.grid import default_jobs, run_grid
    from hmlcore.runner.run import device_name
    from hmlcore.runner.select import select
    from hmlcore.studies import experiments_named, protocol
    from hmlcore.training.trackers import check_log

    check_log(options.log)
    # One choice over all of a family: what one member lacks, another may have.
    grids = [protocol(e.name).grid(options.profile) for e in experiments_named(options.experiment)]
    specs = select([spec for grid in grids for spec in grid], fields_of(options.only), options.seeds)
    usual = default_jobs() if group.strategy is None else 1
    jobs, folder = usual if options.jobs is None else options.jobs, options.save_models
    check_int("--jobs", jobs)
    if folder is not None:
        make_folder("--save-models", folder)
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
    return 128 + interrupts.asked_by() if outcome.interrupted else int(bool(outcome.failed))


def _pack(options) -> int:
    from hmlcore.results import Store
    from hmlcore.results.pack import pack
    from hmlcore.results.text import bytes_text
    from hmlcore.studies.kit.study import check_profile

    check_profile(options.profile)
    store, names = Store(paths.results()), options.experiments or [None]
    require(len(names) == 1 or not (options.also or options.drop), "--with and --drop take one experiment")
    done = 0
    for name in names:
        for packed in pack(store, options.profile, name, also=options.also, drop=options.drop):
            runs, size = f"{packed.added} run{'s' * (packed.added != 1)}", bytes_text(packed.size)
            print(f"{packed.experiment}: {runs} went in, {packed.path} holds {packed.runs} in {size}")
            done += 1
    if not done:
        print(f"nothing to pack in {store.root / options.profile}")
    return 0


def _tune(options) -> int:
    from hmlcore.results import Store
    from hmlcore.runner.tune import tune

    for name in _named(options):
        written = tune(Store(paths.results()), options.profile, name)
        print("\n".join([str(written.path), *written.edges]))
    return 0


def _generate(options) -> int:
    import torch

    from hmlcore.models.generation import Sampling, stream_text
    from hmlcore.models.saved import load_model
    from hmlcore.ops.backend import default_device
    from hmlcore.tasks.bpe import BPE, ByteTokenizer

    sampling = Sampling(options.temperature, options.top_k, options.top_p)
    check_optional("--seed", options.seed, check_seed)
    device = default_device()
    saved = load_model(options.checkpoint)
    tokenizer = BPE(saved.extra["tokenizer"]) if "tokenizer" in saved.extra else ByteTokenizer()
    generator = torch.Generator(device)
    generator.manual_seed(generator.seed() if options.seed is None else options.seed)
    for text in stream_text(
        saved.model.to(device), tokenizer, options.prompt, options.max_new, sampling, generator
    ):
        print(text, end="", flush=True)
    print()
    return 0


def _verify(options) -> int:
    names = _named(options)  # before torch is imported
    from hmlcore.results import Store
    from hmlcore.runner.verify import verify

    verdicts = verify(
        Store(paths.results()), options.profile, names, options.sample, options.seed, options.run or "",
        tell=lambda v: print(
            f"{'ok    ' if v.passed else 'DIFFER'} {v.label} ({v.spec_hash[:16]}): {v.identical} of {v.values} "
            f"values identical, {v.within} within tolerance, largest difference {v.worst:.2g}",
            flush=True,
        ),
    )  # fmt: skip
    agree = sum(v.passed for v in verdicts)
    print(f"{agree} of {len(verdicts)} runs agree")
    return 0 if agree == len(verdicts) else 1


def _show(options) -> int:
    from hmlcore.results import Store
    from hmlcore.runner.lookup import find_claim, find_run, report
    from hmlcore.studies.kit.study import check_profile

    check_profile(options.profile)
    store = Store(paths.results())
    if re.fullmatch(r"[0-9a-f]{4,64}", options.what):
        print(report(find_run(store, options.what)))
    else:
        print(find_claim(store, options.profile, options.what))
    return 0


def _bench(options) -> int:
    from hmlcore.results import Store
    from hmlcore.runner.bench import bench

    tables = bench(
        options.profile, Store(paths.results()), only=fields_of(options.only), lengths=options.lengths,
        force=options.force,
    )  # fmt: skip
    for table in tables:
        print(table, flush=True)
    return 0


def _figures(options) -> int:
    from hmlcore.results import Store
    from hmlcore.results.place import places
    from hmlcore.studies.export import export_all
    from hmlcore.studies.kit.study import check_profile

    check_profile(options.profile)
    store = Store(paths.results())
    require(
        bool(places(store.root, options.profile)),
        f"no results at profile {options.profile!r} in {store.root}; make some with: "
        f"hml run EXPERIMENT --profile {options.profile}",
    )
    if options.out is not None:
        make_folder("--out", options.out)
    exported = export_all(store, options.profile, options.out)
    print("\n".join(map(str, exported.files)))
    for notice in exported.notices:
        print(f"hml: {notice}", file=sys.stderr)
    return 0


def _book(options) -> int:
    from hmlcore.book import build_book, commit_chapters, execute_chapters
    from hmlcore.studies.kit.study import check_profile

    check_profile(options.profile)
    if options.chapters or options.commit_chapters:
        chapters = (commit_chapters if options.commit_chapters else execute_chapters)(options.profile)
        print("\n".join(map(str, chapters)) or "the committed chapters are up to date")
        return 0
    print(build_book(options.profile, options.run_missing or None, fresh=options.fresh))
    return 0


def _paper(options) -> int:
    from hmlcore.paper import build_paper, pack_bundle

    print((pack_bundle if options.bundle else build_paper)(options.profile))
    return 0


def _doctor(options) -> int:
    from hmlcore.doctor import report

    text, healthy = report()
    print(text)
    return 0 if healthy else 1


def _parser() -> argparse.ArgumentParser:
    return build_parser(
        {
            "list": _list, "status": _status, "plan": _plan, "run": _run, "pack": _pack, "tune": _tune,
            "generate": _generate, "verify": _verify, "show": _show, "bench": _bench, "figures": _figures,
            "book": _book, "paper": _paper, "arxiv": _paper, "explore": explore, "ledger": ledger,
            "doctor": _doctor,
        }
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
