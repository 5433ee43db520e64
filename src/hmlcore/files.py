"""Files as all of the package writes and finds them: whole or not at all, and none that is not ours."""

import errno
import json
import os
import platform
import re
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from hmlcore.errors import HmlcoreError, require

# A temporary file names its writer: the machine, the process, and which of those that had this number.
_HOST = re.sub(r"\W", "_", platform.node())[:32]
_TOKEN = uuid4().hex[:8]
_TEMPORARY = re.compile(r"\.hml-(\w*)-(\d+)-([0-9a-f]{8})-\d+\.tmp")
_NUMBERS = count()
_DAY_S = 86_400


def write_file(
    path: Path,
    content: bytes | str | Callable[[BinaryIO], object],
    what: str = "",
    check: Callable[[Path], None] | None = None,
    durable: bool = True,
) -> None:
    """Write `path`: a reader sees the old file or the new one, also when the writer is killed or the disk full.

    Its mode is what the umask says. Where `path` is a link, the file that it points to is written. What dead
    writers left in the folder goes.

    Args:
        content: the bytes, a text (UTF-8), or what fills an open binary file.
        what: the kind of file, for errors: "checkpoint".
        check: is given the new file, durable but under another name, before it takes the place of the old.
        durable: it outlives a loss of power; what is made again in a moment need not wait for the disk.

    Raises:
        HmlcoreError: the disk refuses (full, read-only), or something else than a file is there.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = _target(path)
        sweep(target.parent)
        beside = target.with_name(f".hml-{_HOST}-{os.getpid()}-{_TOKEN}-{next(_NUMBERS)}.tmp")
        with beside.open("xb") as file:
            temporary = beside
            _fill(file, content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if check is not None:
            check(temporary)
        temporary.replace(target)
        if durable:
            fsync_folder(target.parent)
    except OSError as error:
        named = f"the {what} {path}" if what else path
        raise HmlcoreError(f"cannot write {named}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_files(folder: Path, content: dict[str, str | bytes]) -> list[Path]:
    """Write every file of `content` below `folder`, each of which can be drawn again in a moment; their paths.

    Raises: HmlcoreError where one cannot be written, or is a link.
    """
    for name, text in content.items():
        path = folder / name
        require(not path.is_symlink(), f"{path} is a symbolic link: nothing is written through it")
        write_file(path, text, durable=False)
    return [folder / name for name in content]


def json_text(value: object, indent: int | None = None) -> str:
    """`value` as sorted JSON, equal for equal values; on one line without spaces if no `indent` is given."""
    separators = None if indent else (",", ":")
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=indent, separators=separators) + "\n"


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises: HmlcoreError naming it, where it cannot be read or holds no JSON."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:  # the last: brackets within brackets, without end
        raise HmlcoreError(f"{path} cannot be read as JSON: {error}") from error


def make_folder(option: str, folder: Path) -> None:
    """Make the folder that `option` names: what is kept goes there after hours of work.

    Raises: HmlcoreError where a file is there, or nothing can be made or written.
    """
    require(not folder.is_file(), f"{option} takes a folder, and {folder} is a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HmlcoreError(f"{option}: {folder} cannot be made ({error.strerror})") from error
    require(os.access(folder, os.W_OK), f"{option}: nothing can be written to {folder}")


def sweep(folder: Path) -> None:
    """Delete what killed writers left in `folder`: temporary files of ours, no others."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(".hml-")]
    except OSError:  # there is no such folder, or it is not ours to look into
        return
    for name in names:
        if match := _TEMPORARY.fullmatch(name):
            with suppress(OSError):
                if _is_dead(*match.groups(), age=time.time() - (folder / name).stat().st_mtime):
                    (folder / name).unlink()


def listed(folder: Path, pattern: str = "*") -> list[Path]:
    """What fits `pattern` below `folder`, sorted; names that begin with a dot are not ours.

    A Mac's ``._x`` beside ``x`` on foreign disks, an editor's, ``.ipynb_checkpoints``, temporary files.
    """
    found = ((path, path.relative_to(folder).parts) for path in folder.glob(pattern))
    return sorted(path for path, parts in found if not any(part.startswith(".") for part in parts))


def fsync_folder(folder: Path) -> None:
    """Make a rename durable; only POSIX systems let a folder be opened for this."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _target(path: Path) -> Path:
    """The file that is written: where `path` points, if it is a link, which a rename would replace."""
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, "it is a link that leads to itself")
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "a folder or device of that name is there")
    if target.exists() and not os.access(target, os.W_OK):  # a rename would not ask
        raise OSError(errno.EACCES, "it is write-protected")
    return target


def _fill(file: BinaryIO, content: bytes | str | Callable[[BinaryIO], object]) -> None:
    if callable(content):
        content(file)
    else:
        file.write(content.encode() if isinstance(content, str) else content)


def _is_dead(host: str, process: str, token: str, age: float) -> bool:
    """Whether the writer of a temporary file has ended. Of another machine nothing is known, but that a day is
    longer than any write."""
    if host != _HOST or os.name != "posix":  # elsewhere, asking would end the process
        return age > _DAY_S
    if int(process) == os.getpid():
        return token != _TOKEN
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return age > _DAY_S
    return False
