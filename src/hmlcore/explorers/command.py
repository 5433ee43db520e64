"""`hml explore` as the command line has it; what it does is in :mod:`hmlcore.explorers.serve`."""

import argparse
from collections.abc import Callable


def explore(options: argparse.Namespace) -> int:
    """Open an explorer until Ctrl-C; the exit code."""
    from hmlcore.explorers import serve

    return serve.explore(options.kind, options.port, not options.no_browser)


def arguments(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the verb to a command line; `verb` as in :mod:`hmlcore.arguments`."""
    command = verb(
        "explore", "see inside a memory: open an explorer in the browser",
        "Small trained models run in the page itself, on what you type; nothing leaves this machine. phase: "
        "how heads move; memory: which tokens are still held; gradient: how far back learning reaches; race: "
        "several mixers side by side; binding: how many pairs one sum holds; slots: what a sparse memory "
        "keeps; store: the runs behind the results. Ctrl-C ends it.",
    )  # fmt: skip
    command.add_argument(
        "kind", nargs="?", default="phase", metavar="EXPLORER",
        help="phase, memory, gradient, race, binding, slots or store (default phase)",
    )  # fmt: skip
    command.add_argument("--port", type=int, metavar="N", help="of the page (default: 8763, or a free one)")
    command.add_argument("--no-browser", action="store_true", help="only print the address")
