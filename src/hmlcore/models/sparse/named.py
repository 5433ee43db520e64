"""Parts of a memory by name: what a configuration calls them, and what they are given."""

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from hmlcore.checks import check_choice
from hmlcore.errors import unknown

Part = TypeVar("Part")


def build_named(
    kind: str, name: str, known: Mapping[str, type[Part]], sizes: tuple, arguments: dict[str, Any]
) -> Part:
    """``known[name](*sizes, **arguments)``.

    Raises: HmlcoreError for an unknown name or argument, listing the known ones, and as the part does.
    """
    cls = known[check_choice(kind, name, known)]
    own = list(inspect.signature(cls).parameters)[len(sizes) :]
    for argument in arguments:
        if argument not in own:
            raise unknown(f"argument of {kind} {name!r}", argument, own)
    return cls(*sizes, **arguments)
