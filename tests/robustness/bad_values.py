"""Values that mean nothing almost everywhere, and what must come of each: use, or one line that refuses it."""

import collections.abc
import math
import re
import signal
import types
import typing
from contextlib import contextmanager

import torch._dynamo  # noqa: F401, torch imports it late, and what an import that is broken off leaves is broken

from hmlcore.errors import HmlcoreError

BAD = {
    "None": None, "text": "3", "no text": "", "half": 2.5, "nan": math.nan, "inf": math.inf, "below 0": -1,
    "zero": 0, "true": True, "list": [], "lists": [[1]], "dictionary": {}, "object": object(), "complex": 1j,
    "large": 10**30, "far below": -(10**30), "beyond floats": 10**5000,
}  # fmt: skip
SECONDS = 2.0


class TooSlow(Exception):
    """A call that should have been refused at once."""


@contextmanager
def at_once():
    """Interrupt what takes longer than a refusal may."""

    def stop(*_):
        raise TooSlow(f"not answered within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def answers(call, names, use=lambda made: None):
    """What is wrong with the answers of `call(**{name: value})` to every bad value at each of `names`.

    Args: use, what must work with whatever was accepted; it may refuse it too.
    """
    return [
        f"{name}={what}: {wrong}"
        for name in names
        for what, value in BAD.items()
        if (wrong := _wrong(call, name, value, use))
    ]


def _wrong(call, name, value, use):
    try:
        with at_once():
            use(call(**{name: value}))
    except HmlcoreError as error:
        said = str(error)
        named = re.search(rf"\b{name}\b", said)
        return "" if named and "\n" not in said and len(said) < 400 else f"says {said[:200]!r}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:120]}"
    return ""


def as_declared(made):
    """Every field of a dataclass holds what its annotation says."""
    for name, hint in typing.get_type_hints(type(made)).items():
        if typing.get_origin(hint) is not typing.ClassVar:
            assert _fits(getattr(made, name), hint), f"{name} holds {getattr(made, name)!r}"


def _fits(value, hint):
    kind, parts = typing.get_origin(hint), typing.get_args(hint)
    if kind in (types.UnionType, typing.Union):
        return any(_fits(value, part) for part in parts)
    if kind is collections.abc.Callable:
        return callable(value)
    if kind is tuple:
        return type(value) is tuple and all(_fits(x, parts[0]) for x in value)
    if hint is float:
        return type(value) in (int, float)
    return isinstance(value, kind or hint) and not (hint is int and value is True)
