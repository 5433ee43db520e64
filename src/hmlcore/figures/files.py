"""Products as files: the same content gives the same bytes."""

import json
from pathlib import Path

from hmlcore.errors import require
from hmlcore.files import write_file


def json_text(value, indent: int | None = None) -> str:
    """`value` as sorted JSON, on one line without spaces if no `indent` is given."""
    separators = None if indent else (",", ":")
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=indent, separators=separators) + "\n"


def write_files(folder: Path, content: dict[str, str | bytes]) -> list[Path]:
    """Write every file of `content` below `folder`; their paths.

    Raises: HmlcoreError where one cannot be written, or is a link.
    """
    for name, text in content.items():
        require(
            not (folder / name).is_symlink(),
            f"{folder / name} is a symbolic link: nothing is written through it",
        )
        write_file(folder / name, text, durable=False)
    return [folder / name for name in content]
