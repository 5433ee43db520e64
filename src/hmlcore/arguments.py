"""What `hml` can be asked: every command, its options and their help."""

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

from hmlcore import __version__
from hmlcore.errors import one_line, require, shown
from hmlcore.explorers.command import arguments as explorer
from hmlcore.runner.ledger import arguments as ledger


class _Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are one line, like every other."""

    def error(self, message: str):
        self.exit(2, f"hml: {one_line(message)}; see {self.prog} --help\n")


def duration(text: str) -> float:
    """Seconds in ``90``, ``90s``, ``9m`` or ``1.5h``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not match or not 0 < float(match[1]) < math.inf:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no duration above 0, such as 90s, 9m or 1.5h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def place(text: str) -> Path:
    """A path that the file system understands; something need not be there."""
    try:
        if not text:
            raise ValueError("it is empty")
        Path(text).stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise argparse.ArgumentTypeError(f"{shown(text)} is no path: {reason}") from error
    return Path(text)


def fields_of(pairs: list[str]) -> dict[str, list[str]]:
    """``["mixer=hml,attention", "lr=0.003"]`` to ``{"mixer": ["hml", "attention"], "lr": ["0.003"]}``."""
    chosen: dict[str, list[str]] = {}
    for pair in pairs:
        field, _, values = pair.partition("=")
        require(bool(field and values), f"--only takes FIELD=VALUE[,VALUE...], got {pair!r}")
        chosen.setdefault(field, []).extend(values.split(","))
    return chosen


Verb = Callable[..., argparse.ArgumentParser]
"""(name, summary, details, profile) → the parser of a new verb."""


def build_parser(functions: dict[str, Callable]) -> argparse.ArgumentParser:
    """The parser of the whole command line: `options.verb` is the one of `functions` that was asked for."""
    parser = _Parser(
        prog="hml",
        description="Bounded memory for long sequences, measured honestly: run the experiments, read the "
        "store, build the book.",
        epilog="Profiles: smoke (any CPU, minutes), laptop (2 to 8 cores, committed results), full (one GPU).",
    )
    parser.add_argument("--version", action="version", version=f"hmlcore {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def verb(name: str, summary: str, details: str = "", profile: str | None = None):
        command = verbs.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {details}".strip()
        )
        command.set_defaults(verb=functions[name])
        if profile:
            command.add_argument(
                "--profile", default=profile, metavar="P", help=f"smoke, laptop or full (default {profile})"
            )
        return command

    verb("list", "show mixers, tasks, studies, and what the store has of each profile")
    own = (_status, _plan, _run, _pack, _tune, _generate, _verify, _show, _bench, _figures, _book, _paper)
    for add in (*own, explorer, ledger):
        add(verb)
    verb(
        "doctor", "verify the GPU runtime, show what is installed, and check the backend of each op",
        "Exit code 1 where something is present but does not work; it says what to do.",
    )  # fmt: skip
    return parser


def _status(verb: Verb) -> None:
    status = verb(
        "status", "say which experiments are fresh, stale or missing, and whether figures are as the store is",
        "Fresh: the store has the runs that the grid asks for, and no others. Stale: it lacks some, or has "
        "some of an earlier grid. Missing: it has none.",
        profile="laptop",
    )  # fmt: skip
    status.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    status.add_argument(
        "--check", action="store_true", help="exit code 1 where the results of one of them are not fresh"
    )


def _plan(verb: Verb) -> None:
    plan = verb(
        "plan", "say what a profile would cost on a GPU: runs, tokens, operations, hours, memory",
        "From the grids, and from how fast stored trainings were beside attention's. Nothing is run.",
        profile="full",
    )  # fmt: skip
    plan.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    plan.add_argument(
        "--tflops", type=float, metavar="X",
        help="10^12 operations a second that the GPU can do (default: an H100's in bf16)",
    )  # fmt: skip
    plan.add_argument(
        "--utilisation", type=float, metavar="U",
        help="the part of it that training a small model with attention reaches (default: a twentieth; where "
        "the store has trainings on a GPU, what was measured there replaces both)",
    )  # fmt: skip


def _run(verb: Verb) -> None:
    run = verb(
        "run", "make the runs of an experiment that the store lacks",
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
        "are those that tell its runs apart: seed, d_model, task, corpus, ...",
    )  # fmt: skip
    run.add_argument("--seeds", nargs="+", type=int, metavar="N", help="only these seeds (default: all)")
    run.add_argument(
        "--budget", type=duration, metavar="TIME",
        help="stop in time, saving checkpoints: 90s, 9m, 1.5h (default: no limit)",
    )  # fmt: skip
    run.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a core; one on a GPU)")
    run.add_argument(
        "--parallel", metavar="WAY",
        help="train each run by all processes that torchrun starts, where it outgrows one GPU: ddp (each "
        "holds the model) or fsdp (each holds a part); torchrun --nproc-per-node 2 -m hmlcore.cli run ...",
    )  # fmt: skip
    run.add_argument(
        "--log", metavar="TRACKER",
        help="follow learning curves as they grow: terminal, trackio, wandb or tensorboard "
        "(all but the first: pip install hmlcore[log])",
    )  # fmt: skip
    run.add_argument(
        "--save-models", type=place, metavar="FOLDER",
        help="keep the trained model of each run made here, for `hml generate`; runs that the store has "
        "are skipped as ever",
    )  # fmt: skip
    run.add_argument(
        "--force",
        action="store_true",
        help="allow a full run on a CPU or from uncommitted code; the rows say so",
    )


def _tune(verb: Verb) -> None:
    tune = verb(
        "tune", "read out of the store which learning rates validation chose, for the grids to use",
        "Writes the study's rates.json, by the mean over all seeds that tried every rate. Where a grid tries "
        "all rates with its first seeds only, the others run at the chosen ones. Says which best rates are at "
        "the edge of what was tried, and the command that tries the next.",
        profile="laptop",
    )  # fmt: skip
    tune.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="whose rates")


def _generate(verb: Verb) -> None:
    generate = verb(
        "generate", "continue a text with a trained model of bytes or byte pairs",
        "Prints what follows the prompt, as it is drawn. Example: hml generate --checkpoint "
        "models/bytes-0123456789abcdef.safetensors --prompt 'Once upon' --temperature 0.8 --top-p 0.95",
    )  # fmt: skip
    generate.add_argument(
        "--checkpoint", type=place, required=True, metavar="FILE", help="a model that `--save-models` kept"
    )
    generate.add_argument("--prompt", required=True, metavar="TEXT", help="what the model reads first")
    generate.add_argument(
        "--max-new", type=int, default=256, metavar="N", help="how many tokens follow (default 256)"
    )
    generate.add_argument(
        "--temperature", type=float, default=1.0, metavar="X",
        help="below 1 likely tokens become likelier; 0 takes the likeliest (default 1)",
    )  # fmt: skip
    generate.add_argument("--top-k", type=int, metavar="K", help="only the K likeliest tokens (default: all)")
    generate.add_argument(
        "--top-p", type=float, default=1.0, metavar="P",
        help="only the fewest likeliest tokens that together have probability P (default 1: all)",
    )  # fmt: skip
    generate.add_argument("--seed", type=int, metavar="N", help="make what is drawn repeatable")


def _verify(verb: Verb) -> None:
    check = verb(
        "verify", "make stored runs again and compare every value", profile="laptop",
        details="On the machine that made them they agree exactly, elsewhere within the tolerance.",
    )  # fmt: skip
    check.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all")
    check.add_argument(
        "--sample", type=int, default=3, metavar="K", help="how many runs, at random (default 3)"
    )
    check.add_argument("--seed", type=int, metavar="N", help="make the choice repeatable")
    check.add_argument("--run", metavar="HASH", help="this run instead, by the first digits of its spec hash")


def _show(verb: Verb) -> None:
    show = verb(
        "show", "show the run behind a number, or a claim and the runs behind it", profile="laptop",
        details="A run: its file, scores, spec and the command that makes it again; figures show the first "
        "digits of its spec hash where the pointer rests on a seed. A claim, by the name that its table gives: "
        "the sentence, verdict, evidence and runs.",
    )  # fmt: skip
    show.add_argument(
        "what", metavar="HASH|CLAIM", help="the first digits of a spec hash, at least four, or a claim's name"
    )


def _bench(verb: Verb) -> None:
    bench = verb(
        "bench", "time every mixer, and every op, side by side, in training and decoding, by length",
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


def _figures(verb: Verb) -> None:
    figures = verb(
        "figures", "write every figure, table and number of a profile from the store",
        profile="laptop",
        details="Plotly JSON for the book; SVG and PDF for the paper where a Chromium is found.",
    )  # fmt: skip
    figures.add_argument(
        "--out", type=place, metavar="FOLDER", help="where to (default: the profile's folder in the store)"
    )


def _book(verb: Verb) -> None:
    book = verb(
        "book", "execute the chapters by papermill and build the HTML book", profile="laptop",
        details="Prints the path of the first page last.",
    )  # fmt: skip
    book.add_argument(
        "--fresh", action="store_true", help="execute all again; in smoke, make all results again"
    )
    book.add_argument("--run-missing", action="store_true", help="make results that the store lacks")
    book.add_argument("--chapters", action="store_true", help="execute the chapters, build no pages")
    book.add_argument(
        "--commit-chapters", action="store_true", help="copy executed chapters to book/chapters instead"
    )


def _paper(verb: Verb) -> None:
    paper = verb(
        "paper", "draw what the paper shows from the store, compile it and check it", profile="laptop",
        details="Needs latexmk or tectonic, and a Chromium for figures. Says what is not as a paper must be: "
        "unknown citations, boxes that stick out, too many pages, figures that are older than the store. "
        "Prints the path of the PDF last.",
    )  # fmt: skip
    paper.set_defaults(bundle=False)
    bundle = verb(
        "arxiv", "build the paper and pack its sources for a preprint server", profile="laptop",
        details="The bundle is compiled once more, alone. Prints its path last.",
    )  # fmt: skip
    bundle.set_defaults(bundle=True)


def _pack(verb: Callable) -> None:
    pack = verb(
        "pack", "put finished runs into the one file of their experiment", profile="laptop",
        details="Runs are stored a file each, in .runs below the profile's results, and count as they are; "
        "packed they are small enough to commit. The same runs give the same file, whoever made them: after a "
        "conflict of versions, pack one side --with the other.",
    )  # fmt: skip
    pack.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all with runs to pack")
    pack.add_argument(
        "--with", dest="also", nargs="+", type=place, default=[], metavar="FILE",
        help="take in the runs of these packed files as well, of one experiment",
    )  # fmt: skip
    pack.add_argument(
        "--drop", nargs="+", default=[], metavar="HASH",
        help="take packed runs of one experiment out, by the first digits of their spec hashes",
    )  # fmt: skip
