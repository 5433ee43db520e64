"""The one exception users are meant to see, and the phrasing every refusal shares."""

import errno
import re
from collections.abc import Iterable


class HmlcoreError(ValueError):
    """Bad input or a missing result; the message is complete and needs no traceback.

    The command line prints it as one line and exits with a non-zero status.
    """


def unknown(kind: str, name: object, known: Iterable[str]) -> HmlcoreError:
    """An error that lists the known names, e.g. ``unknown mixer 'x'; known: attention, gru``."""
    return HmlcoreError(f"unknown {kind} {shown(name)}; known: {', '.join(sorted(known))}")


def require(condition: bool, message: str) -> None:
    """Raise :class:`HmlcoreError` with `message` unless `condition` holds."""
    if not condition:
        raise HmlcoreError(message)


def shown(value: object) -> str:
    """The value as an error shows it: on one line, and not for ever."""
    try:
        text = " ".join(repr(value).splitlines())
    except ValueError:  # an integer of too many digits
        text = f"{type(value).__name__} that is too long to show"
    return text if len(text) <= 80 else f"{text[:60]} … {text[-10:]}"


def lacking(error: BaseException) -> str:
    """What ran out, as `error` says it: the disk, or the memory of this machine or a GPU; "" if nothing did."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk is full ({error.filename})"
    said = str(error).partition("\n")[0]
    # torch raises what is no MemoryError; its classes are told by name, so that torch need not be there.
    torchs = isinstance(error, RuntimeError) and re.search("can't allocate memory|out of memory", said)
    found = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or torchs
    return f"there is not enough memory{f' ({said})' if said else ''}" if found else ""


def one_line(message: object) -> str:
    """`message` for a terminal: what does not print is escaped, and what fills a screen cut."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(message))
    return re.sub(r"\S{600,}", lambda word: f"{word[0][:60]} … {word[0][-10:]}", text)
