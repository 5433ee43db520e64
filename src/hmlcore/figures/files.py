"""Products as files: the same content gives the same bytes."""

import json
from pathlib import Path

from hmlcore.errors import HmlcoreError


def json_text(value, indent: int | None = None) -> str:
    """`value` as sorted JSON, on one line without spaces if no `indent` is given."""
    separators = None if indent else (",", ":")
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=indent, separators=separators) + "\n"


def write_files(folder: Path, content: dict[str, str | bytes]) -> list[Path]:
    """Write every file of `content` below `folder`; their paths. Raises: HmlcoreError where one cannot be."""
    files = []
    for name, text in content.items():
        path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        except OSError as error:
            raise HmlcoreError(f"cannot write {path}: {error.strerror or error}") from error
        files.append(path)
    return files
