"""Keys: hashes of all that something was made from, by which it is known whether it has to be made again."""

import hashlib
import sys
from pathlib import Path

from hmlcore import paths


def code_key() -> str:
    """Hash of what makes a result besides its sources and the store: the package and its versions."""
    return hash_of(sys.version, paths.root() / "constraints.txt", *files_below(Path(__file__).parent, "*.py"))


def files_below(folder: Path, pattern: str = "*") -> list[Path]:
    """The files below `folder` that fit `pattern`, sorted, without caches and names that begin with a dot."""
    found = (p for p in folder.rglob(pattern) if p.is_file() and not p.name.startswith("."))
    return sorted(p for p in found if "__pycache__" not in p.parts)


def hash_of(*parts: str | Path) -> str:
    """SHA-256 over texts and over files (name and content; an absent file counts as empty)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            content = part.read_bytes() if part.is_file() else b""
            digest.update(part.name.encode() + b"\0" + hashlib.sha256(content).digest())
        else:
            digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def matches(stamp: Path, key: str) -> bool:
    """Whether the key that was left in the file `stamp` is still this one."""
    return stamp.is_file() and stamp.read_bytes() == key.encode()
