"""What identifies a run: a plain JSON dictionary, its canonical text and the hash of that text."""

import hashlib
import json
import re
from collections.abc import Mapping

from hmlcore.errors import HmlcoreError, require

SCHEMA = 1
"""Version of the stored layout. A spec carries it, so another layout never shares a hash with this one."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def canonical(spec: Mapping) -> str:
    """The one JSON text of `spec`: sorted keys, no spaces, ASCII.

    Tuples and lists are the same. Floats are written as Python's shortest round-trip decimal, so ``1`` and
    ``1.0`` are different specs.

    Raises:
        HmlcoreError: a value has no JSON form (a NumPy scalar, a path, NaN, infinity).
    """
    try:
        return json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise HmlcoreError(f"spec is not plain JSON: {error}") from error


def spec_hash(spec: Mapping) -> str:
    """SHA-256 of :func:`canonical`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(spec).encode()).hexdigest()


def is_name(text: object) -> bool:
    """Whether `text` is fit for a folder: lower-case letters, digits, - and _."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def check_spec(spec: Mapping) -> None:
    """Raise :class:`HmlcoreError` unless `spec` can be stored: this schema, and names fit for a folder."""
    require(isinstance(spec, Mapping), f"spec must be a dictionary, not {type(spec).__name__}")
    for key in ("schema", "experiment", "profile", "mixer", "seed"):
        require(key in spec, f"spec lacks {key!r}; it has: {', '.join(sorted(map(str, spec)))}")
    require(spec["schema"] == SCHEMA, f"spec has schema {spec['schema']!r}; this version writes {SCHEMA}")
    for key in ("experiment", "profile"):
        name = spec[key]
        require(
            is_name(name),
            f"{key} {name!r} is not a name (lower-case letters, digits, - and _)",
        )
    require(isinstance(spec["mixer"], str), f"mixer must be a name, not {spec['mixer']!r}")
    require(type(spec["seed"]) is int, f"seed must be an integer, not {spec['seed']!r}")
