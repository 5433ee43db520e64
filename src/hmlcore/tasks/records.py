"""Files that others wrote, read within limits: whole texts, lines, and JSON lines.

Only regular files are opened (a link to one is one; a device, a pipe and a socket may never end), nothing is
unpacked beyond the longest line that there may be, and whatever is wrong is one error that names file and line.
"""

import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from hmlcore.errors import HmlcoreError, require

LONGEST = 128 * 2**20  # bytes of a line: several times the longest book of PG-19, escaped
LARGEST = 2**31  # bytes of a text that is read whole

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def shown(name: str | os.PathLike) -> str:
    r"""A file's name as valid text: bytes of it that are no UTF-8 stand as ``\xe9``."""
    return os.fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def kind(path: Path) -> str:
    """What is there, links followed: "a file", "a folder", "a device", …, or "" where nothing can be."""
    try:
        return _kind(path.stat())
    except (OSError, ValueError):  # a name that is too long, or holds a zero
        return ""


def _kind(status: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(status.st_mode), "something else")


def checked(path: Path) -> os.stat_result:
    """What the system says of a regular file. Raises: HmlcoreError for whatever else is there, or nothing."""
    try:
        status = path.stat()
    except OSError as error:
        raise HmlcoreError(f"cannot read {shown(path)}: {error.strerror}") from error
    require(_kind(status) == "a file", f"{shown(path)} is {_kind(status)}, not a file")
    return status


def content(path: Path) -> bytes:
    """All of a file. Raises: HmlcoreError where it cannot be read, or has more than :data:`LARGEST` bytes."""
    size = checked(path).st_size
    require(size <= LARGEST, f"{shown(path)} has {size:,} bytes, more than the {LARGEST:,} that are read whole")
    try:
        return path.read_bytes()
    except OSError as error:
        raise HmlcoreError(f"cannot read {shown(path)}: {error.strerror}") from error


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of all lines that are not blank, without byte order mark and line end; unpacks ``.gz``.

    Raises: HmlcoreError for a line that is longer than :data:`LONGEST` bytes or no UTF-8, and a damaged file.
    """
    checked(path)
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while line := file.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    raise damaged(path, number, f"it is longer than {LONGEST:,} bytes")
                if text := line.decode("utf-8-sig").strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise damaged(path, number, f"it is not UTF-8 ({error.reason} at byte {error.start})") from error
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, number + 1, str(error)) from error


def records(path: Path) -> Iterator[tuple[int, dict]]:
    """(line, record) of a file of JSON lines, in order.

    Raises: HmlcoreError, as `lines` does, and for a line that is no object or holds what is no text.
    """
    for number, line in lines(path):
        try:
            record = json.loads(line)
        except RecursionError as error:
            raise damaged(path, number, "it is nested too deep") from error
        except ValueError as error:
            raise damaged(path, number, str(error)) from error
        if not isinstance(record, dict):
            raise damaged(path, number, f"it is no object but {type(record).__name__}")
        for field, value in record.items():
            if half := isinstance(value, str) and _half_character(value):
                raise damaged(path, number, f"{field!r} holds half of a character, {half}")
        yield number, record


def damaged(path: Path, line: int, why: str) -> HmlcoreError:
    """The error of a file in which a line is not what it must be."""
    return HmlcoreError(f"{shown(path)} is damaged at line {line}: {why}")


def _half_character(text: str) -> str:
    r"""The first surrogate that stands alone, as ``U+D83D``: JSON can name it by ``\ud83d``, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"U+{ord(text[error.start]):04X}"
    return ""
