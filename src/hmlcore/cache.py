"""Derived data that is kept: files that end in a hash of all of themselves, checked whenever one is opened."""

import hashlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from hmlcore.errors import HmlcoreError
from hmlcore.files import write_file

_SEAL = hashlib.sha256().digest_size


def cached_file(path: Path, make: Callable[[], Iterable[bytes]]) -> np.ndarray:
    """What is kept at `path`, mapped into memory [bytes]: the parts that `make` gives, one behind the other.

    Made where there is nothing yet, and again where the file is damaged, which is said in one line.

    Raises: HmlcoreError where the file cannot be written.
    """
    found = _opened(path)
    if found is None:
        _keep(path, make())
        found = _opened(path)
    if found is None:
        raise HmlcoreError(f"{path} reads otherwise than it was written: is its disk damaged?")
    return found


def _keep(path: Path, parts: Iterable[bytes]) -> None:
    def write(file: BinaryIO) -> None:
        seal = _seal(path)
        for part in parts:
            file.write(part)
            seal.update(part)
        file.write(seal.digest())

    write_file(path, write)


def _opened(path: Path) -> np.ndarray | None:
    """The content; None where nothing is there, or what is there does not end in its hash."""
    if not path.exists():
        return None
    try:
        if not path.is_file():  # a device or a pipe may never end
            raise OSError("it is no file")
        mapped = np.memmap(path, np.uint8, mode="r")
        content, seal = mapped[:-_SEAL], _seal(path)
        seal.update(content.data)
        if seal.digest() == mapped[-_SEAL:].tobytes():
            return content
        why = "its hash is another"
    except (OSError, ValueError) as error:  # ValueError: it is empty
        why = str(error)
    tqdm.write(f"hml: {path} is damaged ({why}); it is made again", file=sys.stderr)
    return None


def _seal(path: Path):
    """A name goes into its hash: a file in the place of another is as wrong as one that was changed."""
    return hashlib.sha256(f"{path.parent.name}/{path.name}".encode("utf-8", "surrogateescape"))
